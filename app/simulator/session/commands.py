"""Handlers of the SMTP commands (RFC 5321 §4.1.1); those of AUTH, DATA and BDAT are in their own modules."""

from collections.abc import Awaitable, Callable, Mapping

from app.simulator.faults.fault import Point
from app.simulator.protocol import arguments, replies
from app.simulator.protocol.arguments import CommandError
from app.simulator.server_profile import ServerProfile
from app.simulator.session.auth import auth
from app.simulator.session.data_commands import bdat, data
from app.simulator.session.session import ServerSession


async def ehlo(session: ServerSession, argument: str) -> None:
    """Handle EHLO: reply with the extensions."""
    await _greet(session, argument, _ehlo_reply(session))


async def helo(session: ServerSession, argument: str) -> None:
    """Handle HELO: reply without extensions."""
    await _greet(session, argument, _greeting_line(session))


async def _greet(session: ServerSession, argument: str, success: str) -> None:
    session.record.ehlo.append(argument)
    if not arguments.is_ehlo_name(argument):
        raise CommandError(replies.INVALID_DOMAIN_NAME)
    if not await session.apply_faults(Point.EHLO, success):
        session.end_transaction()
        session.greeted = True
        await session.reply(success)


def _greeting_line(session: ServerSession) -> str:
    return f"250 {replies.SMTP_HOST} Hello [{session.connection.peer}]"


def _ehlo_reply(session: ServerSession) -> str:
    profile, secure = session.state.profile, session.record.tls is not None
    lines = [
        _greeting_line(session),
        f"SIZE {session.state.limits.advertised_size}",
        *(["PIPELINING"] if profile.pipelining else []),
        "DSN",
        "ENHANCEDSTATUSCODES",
        *_security_extensions(profile, secure=secure),
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        *(["SMTPUTF8"] if profile.smtputf8 else []),
    ]
    return "\n".join(lines)


def _security_extensions(profile: ServerProfile, *, secure: bool) -> list[str]:
    if secure:
        return [" ".join(("AUTH", *profile.mechanisms))] if profile.mechanisms else []
    return ["STARTTLS"] if profile.starttls else []


async def starttls(session: ServerSession, argument: str) -> None:
    """Handle STARTTLS (RFC 3207). It resets the session."""
    if not session.state.profile.starttls:
        await unknown(session, "STARTTLS")
        return
    _no_argument(argument)
    if session.record.tls is not None:
        raise CommandError(replies.BAD_SEQUENCE)
    if not await session.apply_faults(Point.STARTTLS, replies.READY_FOR_TLS):
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
            session.end_transaction()
            session.greeted = False


async def mail(session: ServerSession, argument: str) -> None:
    """Handle MAIL."""
    if session.account is None:
        raise CommandError(replies.NOT_AUTHENTICATED)
    if not session.greeted or session.transaction is not None:
        raise CommandError(replies.BAD_SEQUENCE)
    mail_arguments = arguments.mail(argument, smtputf8_supported=session.state.profile.smtputf8)
    limit = session.state.limits.advertised_size
    if mail_arguments.size > limit:
        session.record_violation(f"message size: {mail_arguments.size} of {limit} bytes")
        raise CommandError(replies.SIZE_EXCEEDED)
    session.begin_transaction(mail_arguments.address, smtputf8=mail_arguments.smtputf8, binary=mail_arguments.binary)
    if await session.apply_faults(Point.MAIL, replies.SENDER_OK):
        session.end_transaction()
    else:
        await session.reply(replies.SENDER_OK)


async def rcpt(session: ServerSession, argument: str) -> None:
    """Handle RCPT. Recipients are not resolved, because Exchange does that after it has accepted the message."""
    transaction = session.transaction
    if transaction is None:
        raise CommandError(replies.BAD_SEQUENCE)
    address = arguments.rcpt(argument, smtputf8=transaction.smtputf8)
    if await session.apply_faults(Point.RCPT, replies.RECIPIENT_OK, recipient=address):
        return
    limit = session.state.limits.recipients_per_message
    if len(transaction.recipients) >= limit:
        session.record_violation(f"recipients of one message: more than {limit}")
        raise CommandError(replies.TOO_MANY_RECIPIENTS)
    transaction.recipients.append(address)
    await session.reply(replies.RECIPIENT_OK)


async def rset(session: ServerSession, argument: str) -> None:
    """Handle RSET."""
    _no_argument(argument)
    session.end_transaction()
    await session.reply(replies.RESETTING)


async def quit_(session: ServerSession, argument: str) -> None:
    """Handle QUIT."""
    _no_argument(argument)
    if not await session.apply_faults(Point.QUIT, replies.CLOSING):
        await session.reply(replies.CLOSING)
        await session.connection.close()


def _no_argument(argument: str) -> None:
    if argument:
        raise CommandError(replies.INVALID_ARGUMENTS)


async def unknown(session: ServerSession, verb: str) -> None:
    """Reply to an unknown command, after the tarpit delay."""
    printable = "".join(char if " " < char <= "~" else "?" for char in verb[:64])
    await session.reply_after_tarpit(replies.UNKNOWN_VERB, verb=printable)


COMMANDS: Mapping[str, Callable[[ServerSession, str], Awaitable[None]]] = {
    "EHLO": ehlo,
    "HELO": helo,
    "STARTTLS": starttls,
    "AUTH": auth,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "BDAT": bdat,
    "RSET": rset,
    "NOOP": lambda session, _: session.reply(replies.NOOP_OK),
    "VRFY": lambda session, _: session.reply(replies.CANNOT_VERIFY),
    "QUIT": quit_,
}
