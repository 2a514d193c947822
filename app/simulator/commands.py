"""The verbs (RFC 5321 §4.1.1): each takes the session and its argument, and answers."""

from collections.abc import Awaitable, Callable, Mapping

from app.simulator import arguments, replies
from app.simulator.auth import auth
from app.simulator.data_commands import bdat, data
from app.simulator.faults import Point
from app.simulator.server_profile import ServerProfile
from app.simulator.session import Session
from app.simulator.state import SMTP_HOST


async def ehlo(session: Session, argument: str) -> None:
    """EHLO: who the client is, and what is offered."""
    session.record.ehlo.append(argument)
    if not arguments.ehlo_name(argument):
        await session.reply(replies.INVALID_DOMAIN_NAME)
        return
    offer = _offer(session)
    if not await session.apply_faults(Point.EHLO, offer):
        session.end()
        session.greeted = True
        await session.reply(offer)


async def helo(session: Session, argument: str) -> None:
    """HELO: the same without extensions."""
    session.record.ehlo.append(argument)
    if not arguments.ehlo_name(argument):
        await session.reply(replies.INVALID_DOMAIN_NAME)
    elif not await session.apply_faults(Point.EHLO, _hello(session)):
        session.end()
        session.greeted = True
        await session.reply(_hello(session))


def _hello(session: Session) -> str:
    return f"250 {SMTP_HOST} Hello [{session.connection.peer}]"


def _offer(session: Session) -> str:
    door, secure = session.state.profile, session.record.tls is not None
    lines = [
        _hello(session),
        f"SIZE {session.state.usage.limits.advertised_size}",
        *(["PIPELINING"] if door.pipelining else []),
        "DSN",
        "ENHANCEDSTATUSCODES",
        *_security(door, secure=secure),
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        *(["SMTPUTF8"] if door.smtputf8 else []),
    ]
    return "\n".join(lines)


def _security(door: ServerProfile, *, secure: bool) -> list[str]:
    if secure:
        return [" ".join(("AUTH", *door.mechanisms))] if door.mechanisms else []
    return ["STARTTLS"] if door.starttls else []


async def starttls(session: Session, argument: str) -> None:
    """STARTTLS (RFC 3207): after it the session is as new, and nothing said before counts."""
    if not session.state.profile.starttls:
        await unknown(session, "STARTTLS")
    elif argument:
        await session.reply(replies.INVALID_ARGUMENTS)
    elif session.record.tls is not None:
        await session.reply(replies.BAD_SEQUENCE)
    elif not await session.apply_faults(Point.STARTTLS, replies.READY_FOR_TLS):
        session.connection.pause_reading()
        session.connection.clear_input()
        await session.reply(replies.READY_FOR_TLS)
        session.connection.write(session.state.profile.inject)
        await session.connection.flush()
        if session.state.faults.at(Point.TLS):
            await session.connection.wait_for_client_hello()
        if not await session.apply_faults(Point.TLS, replies.READY_FOR_TLS):
            context = session.state.certificates.context(session.state.profile)
            session.record.tls = await session.connection.start_tls(context)
            session.end()
            session.greeted = False


async def mail(session: Session, argument: str) -> None:
    """MAIL."""
    if session.account is None:
        await session.reply(replies.NOT_AUTHENTICATED)
        return
    if not session.greeted or session.transaction is not None:
        await session.reply(replies.BAD_SEQUENCE)
        return
    given = arguments.mail(argument, smtputf8_offered=session.state.profile.smtputf8)
    limit = session.state.usage.limits.advertised_size
    if given.size > limit:
        session.record_violation(f"message size: {given.size} of {limit} octets")
        await session.reply(replies.SIZE_EXCEEDED)
        return
    session.begin(given.address, smtputf8=given.smtputf8, binary=given.binary)
    if await session.apply_faults(Point.MAIL, replies.SENDER_OK):
        session.end()
    else:
        await session.reply(replies.SENDER_OK)


async def rcpt(session: Session, argument: str) -> None:
    """RCPT. Recipients are not resolved: Exchange does that after the message is accepted."""
    transaction = session.transaction
    if transaction is None:
        await session.reply(replies.BAD_SEQUENCE)
        return
    address = arguments.rcpt(argument, smtputf8=transaction.smtputf8)
    if await session.apply_faults(Point.RCPT, replies.RECIPIENT_OK, recipient=address):
        return
    limit = session.state.usage.limits.recipients_per_message
    if len(transaction.recipients) >= limit:
        session.record_violation(f"recipients of one message: more than {limit}")
        await session.reply(replies.TOO_MANY_RECIPIENTS)
        return
    transaction.recipients.append(address)
    await session.reply(replies.RECIPIENT_OK)


async def rset(session: Session, argument: str) -> None:
    """RSET."""
    if argument:
        await session.reply(replies.INVALID_ARGUMENTS)
        return
    session.end()
    await session.reply(replies.RESETTING)


async def noop(session: Session, _argument: str) -> None:
    """NOOP."""
    await session.reply(replies.NOOP_OK)


async def vrfy(session: Session, _argument: str) -> None:
    """VRFY."""
    await session.reply(replies.CANNOT_VERIFY)


async def quit_(session: Session, argument: str) -> None:
    """QUIT."""
    if argument:
        await session.reply(replies.INVALID_ARGUMENTS)
    elif not await session.apply_faults(Point.QUIT, replies.CLOSING):
        await session.reply(replies.CLOSING)
        await session.connection.close()


async def unknown(session: Session, verb: str) -> None:
    """Any other verb: a late answer, so that a client gone astray does not hammer."""
    shown = "".join(char if " " < char <= "~" else "?" for char in verb[:64])
    await session.reply_after_tarpit(replies.UNKNOWN_VERB, verb=shown)


COMMANDS: Mapping[str, Callable[[Session, str], Awaitable[None]]] = {
    "EHLO": ehlo,
    "HELO": helo,
    "STARTTLS": starttls,
    "AUTH": auth,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "BDAT": bdat,
    "RSET": rset,
    "NOOP": noop,
    "VRFY": vrfy,
    "QUIT": quit_,
}
