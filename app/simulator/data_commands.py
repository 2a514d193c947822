"""From DATA to the reply to the final dot: takes the content in, judges it as Exchange's back end does, counts it."""

from app.simulator import content, replies
from app.simulator.faults import Point
from app.simulator.limits import OverMinute
from app.simulator.recorder import ReceivedMessage
from app.simulator.session import Session, Transaction
from app.simulator.state import BACKEND, SMTP_HOST


async def data(session: Session, argument: str) -> None:
    """DATA."""
    transaction = session.transaction
    if argument:
        await session.reply(replies.INVALID_ARGUMENTS)
    elif transaction is None or not transaction.recipients or transaction.binary or transaction.chunks:
        await session.reply(replies.BAD_SEQUENCE)
    elif not await session.apply_faults(Point.DATA, replies.START_INPUT):
        await session.reply(replies.START_INPUT)
        await session.connection.flush()
        if not await _interrupted(session):
            sent, size = await session.connection.read_content(session.state.usage.limits.advertised_size)
            await _finish(session, transaction, content.unstuffed(sent), size)


async def bdat(session: Session, argument: str) -> None:
    """BDAT (RFC 3030 §2): a chunk, and with LAST the end of the message."""
    count, _, last = argument.partition(" ")
    if not (count.isascii() and count.isdigit()) or last.upper() not in {"", "LAST"}:
        await session.reply(replies.INVALID_ARGUMENTS)
        return
    if int(count) > session.state.usage.limits.advertised_size:
        await session.reply(replies.SIZE_EXCEEDED)
        await session.connection.drop()
        return
    chunk = await session.connection.read_bytes(int(count))
    transaction = session.transaction
    if transaction is None or not transaction.recipients:
        await session.reply(replies.BAD_SEQUENCE)
        return
    transaction.chunks.append(chunk)
    if last:
        whole = b"".join(transaction.chunks)
        await _finish(session, transaction, whole, len(whole))
    else:
        await session.reply(f"250 2.0.0 {count} octets received")


async def _interrupted(session: Session) -> bool:
    """True if a fault struck while the content came in. What still comes of it is taken and forgotten."""
    for armed in sorted(session.state.faults.at(Point.CONTENT), key=lambda one: one.fault.after):
        if not await session.connection.wait_for_bytes(int(armed.fault.after)):
            return False
        if await session.apply_faults(Point.CONTENT, "250 2.0.0 OK", only=armed):
            await session.connection.flush()
            await session.connection.read_content(0)
            session.end()
            return True
    return False


async def _finish(session: Session, transaction: Transaction, octets: bytes, size: int) -> None:
    """Judge, count, and answer. The slot is free when the answer leaves."""
    head = content.head(octets)
    session.submitted += 1
    seen = ReceivedMessage(
        id=f"{session.record.id}-{session.submitted}",
        session=session.record.id,
        mailbox=session.mailbox,
        mail_from=transaction.mail_from,
        recipients=tuple(transaction.recipients),
        content=octets,
        at=session.now,
        turns=session.connection.turns - transaction.first_turn + 1,
    )
    session.state.recorder.add_message(seen)
    said = len(session.record.replies)
    message_id = head.message_id or f"<{session.record.id}.{session.submitted}@{SMTP_HOST}>"
    await _answer(session, seen, head, size, f"250 2.0.0 OK {message_id} [Hostname={BACKEND}]")
    seen.reply = next(iter(session.record.replies[said:]), "")
    session.end()


async def _answer(session: Session, seen: ReceivedMessage, head: content.Head, size: int, success: str) -> None:
    if await session.apply_faults(Point.DOT, success):
        return
    refusal = _refusal(session, seen, head, size) or await _over_the_minute(session)
    if refusal:
        denied = _denied(session, seen, head) or seen.mail_from
        await session.reply(refusal, sender=denied)
        return
    session.state.usage.count(session.mailbox, len(seen.recipients), session.now)
    session.record.messages += 1
    session.state.recorder.accept(seen)
    if not await session.apply_faults(Point.ACCEPTED, success):
        await session.reply(success)


def _refusal(session: Session, seen: ReceivedMessage, head: content.Head, size: int) -> str | None:
    """The first thing that is wrong, in the order of front end, then back end."""
    return (
        _too_large(session, size)
        or (replies.BARE_LINEFEEDS if content.has_bare_line_ends(seen.content) else None)
        or _not_compliant(head)
        or (replies.CONCURRENT_CONNECTIONS if session.transaction and session.transaction.slot is None else None)
        or _over_the_day(session, len(seen.recipients))
        or (None if _denied(session, seen, head) is None else replies.SEND_AS_DENIED)
    )


def _too_large(session: Session, size: int) -> str | None:
    limits = session.state.usage.limits
    if size > limits.advertised_size:
        session.record_violation(f"message size: {size} of {limits.advertised_size} octets")
        return replies.SIZE_EXCEEDED
    if size > limits.message_size:
        session.record_violation(f"message size: {size} of {limits.message_size} octets")
        return replies.MAX_SUBMISSION_EXCEEDED
    return None


def _not_compliant(head: content.Head) -> str | None:
    if head.senders is None:
        return replies.NOT_RFC_5322
    return replies.MULTIPLE_FROM if len(head.senders) > 1 and not head.has_sender else None


def _over_the_day(session: Session, recipients: int) -> str | None:
    books = session.state.usage
    if books.day_has_room(session.mailbox, recipients, session.now):
        return None
    session.record_violation(f"recipients in 24 hours: more than {books.limits.recipients_per_day}")
    return replies.SENDER_QUOTA_EXCEEDED


def _denied(session: Session, seen: ReceivedMessage, head: content.Head) -> str | None:
    """The first address in the envelope or in From that the mailbox may not send as."""
    account = session.account
    if account is None:
        return None
    return next((one for one in (seen.mail_from, *(head.senders or ())) if not account.may_send_as(one)), None)


async def _over_the_minute(session: Session) -> str | None:
    books, clock = session.state.usage, session.state.clock
    free_at = books.minute_free_at(session.mailbox, session.now)
    if free_at <= session.now:
        return None
    session.record_violation(f"messages in {books.limits.minute:g} s: more than {books.limits.messages_per_minute}")
    match OverMinute(books.limits.over_minute):
        case OverMinute.COUNT:
            return None
        case OverMinute.REFUSE:
            return replies.SENDER_THREAD_LIMIT
        case OverMinute.DELAY:
            while (wait := books.minute_free_at(session.mailbox, session.now) - session.now) > 0:
                await clock.sleep(wait)
            return None
