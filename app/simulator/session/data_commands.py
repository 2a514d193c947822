"""Handlers of DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030): receive the content, check it as Exchange does, reply."""

from app.simulator.faults.fault import Point
from app.simulator.limits import OverMinute
from app.simulator.protocol import content, replies
from app.simulator.protocol.arguments import CommandError
from app.simulator.recorder import ReceivedMessage
from app.simulator.session.session import ServerSession, ServerTransaction


async def data(session: ServerSession, argument: str) -> None:
    """Handle DATA."""
    transaction = session.transaction
    if argument:
        raise CommandError(replies.INVALID_ARGUMENTS)
    if transaction is None or not transaction.recipients or transaction.binary or transaction.chunks:
        raise CommandError(replies.BAD_SEQUENCE)
    if not await session.apply_faults(Point.DATA, replies.START_INPUT):
        await session.reply(replies.START_INPUT)
        await session.connection.flush()
        if not await _fault_during_content(session):
            stuffed, size = await session.connection.read_content(session.state.limits.advertised_size)
            await _finish(session, transaction, content.unstuffed(stuffed), size)


async def bdat(session: ServerSession, argument: str) -> None:
    """Handle BDAT: receive a chunk. LAST marks the last one (RFC 3030 §2)."""
    count, _, last = argument.partition(" ")
    if not (count.isascii() and count.isdigit()) or last.upper() not in {"", "LAST"}:
        raise CommandError(replies.INVALID_ARGUMENTS)
    if int(count) > session.state.limits.advertised_size:
        await session.reply(replies.SIZE_EXCEEDED)
        await session.connection.drop()
        return
    chunk = await session.connection.read_bytes(int(count))
    transaction = session.transaction
    if transaction is None or not transaction.recipients:
        raise CommandError(replies.BAD_SEQUENCE)
    transaction.chunks.append(chunk)
    if last:
        body = b"".join(transaction.chunks)
        await _finish(session, transaction, body, len(body))
    else:
        await session.reply(f"250 2.0.0 {count} octets received")


async def _fault_during_content(session: ServerSession) -> bool:
    """Return True if a fault at CONTENT replaced the reply; then read and discard the rest of the content."""
    for scripted in sorted(session.state.faults.at(Point.CONTENT), key=lambda scripted: scripted.fault.after):
        if not await session.connection.wait_for_bytes(int(scripted.fault.after)):
            return False
        if await session.apply_faults(Point.CONTENT, "250 2.0.0 OK", only=scripted):
            await session.connection.flush()
            await session.connection.read_content(0)
            session.end_transaction()
            return True
    return False


async def _finish(session: ServerSession, transaction: ServerTransaction, body: bytes, size: int) -> None:
    """Record the message, reply and end the transaction: the slot is free before the reply is sent."""
    header = content.header_fields(body)
    session.contents += 1
    message = ReceivedMessage(
        id=f"{session.record.id}-{session.contents}",
        session=session.record.id,
        mailbox=session.mailbox,
        mail_from=transaction.mail_from,
        recipients=tuple(transaction.recipients),
        content=body,
        at=session.now,
        turns=session.connection.turns - transaction.first_turn + 1,
    )
    session.state.recorder.add_message(message)
    first_reply = len(session.record.replies)
    message_id = header.message_id or f"<{session.record.id}.{session.contents}@{replies.SMTP_HOST}>"
    await _accept_or_refuse(session, message, header, size, f"250 2.0.0 OK {message_id} [Hostname={replies.BACKEND}]")
    message.reply = next(iter(session.record.replies[first_reply:]), "")
    session.end_transaction()


async def _accept_or_refuse(
    session: ServerSession, message: ReceivedMessage, header: content.HeaderFields, size: int, success: str
) -> None:
    if await session.apply_faults(Point.DOT, success):
        return
    refusal = _refusal(session, message, header, size) or await _minute_limit(session)
    if refusal:
        denied = _denied_sender(session, message, header) or message.mail_from
        await session.reply(refusal, sender=denied)
        return
    session.state.usage.count(session.mailbox, len(message.recipients), session.now)
    session.record.messages += 1
    session.state.recorder.accept(message)
    if not await session.apply_faults(Point.ACCEPTED, success):
        await session.reply(success)


def _refusal(session: ServerSession, message: ReceivedMessage, header: content.HeaderFields, size: int) -> str | None:
    """Return the first refusal, in the order of Exchange: front end, then back end."""
    return (
        _too_large(session, size)
        or (replies.BARE_LINEFEEDS if content.has_bare_line_ends(message.content) else None)
        or _not_compliant(header)
        or (replies.CONCURRENT_CONNECTIONS if session.transaction and session.transaction.slot is None else None)
        or _day_limit(session, len(message.recipients))
        or (None if _denied_sender(session, message, header) is None else replies.SEND_AS_DENIED)
    )


def _too_large(session: ServerSession, size: int) -> str | None:
    limits = session.state.limits
    if size > limits.advertised_size:
        session.record_violation(f"message size: {size} of {limits.advertised_size} bytes")
        return replies.SIZE_EXCEEDED
    if size > limits.message_size:
        session.record_violation(f"message size: {size} of {limits.message_size} bytes")
        return replies.MAX_SUBMISSION_EXCEEDED
    return None


def _not_compliant(header: content.HeaderFields) -> str | None:
    if header.senders is None:
        return replies.NOT_RFC_5322
    return replies.MULTIPLE_FROM if len(header.senders) > 1 and not header.has_sender else None


def _day_limit(session: ServerSession, recipients: int) -> str | None:
    usage = session.state.usage
    if usage.has_day_capacity(session.mailbox, recipients, session.now):
        return None
    session.record_violation(f"recipients in 24 hours: more than {usage.limits.recipients_per_day}")
    return replies.SENDER_QUOTA_EXCEEDED


def _denied_sender(session: ServerSession, message: ReceivedMessage, header: content.HeaderFields) -> str | None:
    """Return the first sender address, of the envelope or of From, that the mailbox may not send as."""
    account = session.account
    if account is None:
        return None
    return next(
        (sender for sender in (message.mail_from, *(header.senders or ())) if not account.may_send_as(sender)), None
    )


async def _minute_limit(session: ServerSession) -> str | None:
    usage, clock = session.state.usage, session.state.clock
    free_at = usage.minute_free_at(session.mailbox, session.now)
    if free_at <= session.now:
        return None
    session.record_violation(f"messages in {usage.limits.minute:g} s: more than {usage.limits.messages_per_minute}")
    match OverMinute(usage.limits.over_minute):
        case OverMinute.COUNT:
            return None
        case OverMinute.REFUSE:
            return replies.SENDER_THREAD_LIMIT
        case OverMinute.DELAY:
            while (wait := usage.minute_free_at(session.mailbox, session.now) - session.now) > 0:
                await clock.sleep(wait)
            return None
