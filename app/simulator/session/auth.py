"""Handler of AUTH (RFC 4954) with LOGIN and XOAUTH2, only after STARTTLS. Credentials are not recorded."""

import base64
import binascii
from dataclasses import dataclass, field

from app.simulator.accounts import Account
from app.simulator.faults.fault import Point
from app.simulator.protocol import replies
from app.simulator.protocol.arguments import CommandError
from app.simulator.recorder import Login
from app.simulator.session.session import ServerSession


@dataclass(frozen=True, slots=True)
class SubmittedCredentials:
    """User name, and password or token, that the client sent."""

    mailbox: str
    secret: str = field(repr=False)


async def auth(session: ServerSession, argument: str) -> None:
    """Handle AUTH."""
    mechanism, _, initial = argument.partition(" ")
    mechanism = mechanism.upper()
    if session.record.tls is None or mechanism not in session.state.profile.mechanisms:
        raise CommandError(replies.UNRECOGNIZED_AUTHENTICATION)
    if not session.greeted or session.account is not None or session.transaction is not None:
        raise CommandError(replies.BAD_SEQUENCE)
    credentials = await (_login if mechanism == "LOGIN" else _xoauth2)(session, initial.strip() or None)
    await _authenticate(session, mechanism, credentials)


async def _authenticate(session: ServerSession, mechanism: str, credentials: SubmittedCredentials | None) -> None:
    mailbox = credentials.mailbox if credentials else ""
    session.record.logins += 1
    if await session.apply_faults(Point.AUTH, replies.AUTHENTICATED, mailbox=mailbox):
        session.state.recorder.add_login(Login(session.now, mailbox, mechanism, ok=False))
        if session.record.replies[-1].startswith("334"):
            await _refuse_after_challenge(session)
        return
    account = _verified_account(session, mechanism, credentials)
    session.state.recorder.add_login(Login(session.now, mailbox, mechanism, ok=account is not None))
    if account is None:
        wrong_password = mechanism == "LOGIN" and credentials is not None
        await session.reply_after_tarpit(
            replies.CREDENTIALS_INCORRECT if wrong_password else replies.AUTHENTICATION_UNSUCCESSFUL
        )
        return
    session.account = account
    session.record.mailbox = account.address
    await session.reply(replies.AUTHENTICATED)


async def _refuse_after_challenge(session: ServerSession) -> None:
    """Refuse after the client's answer to a challenge with error details, as Gmail sends it. Used by a fault."""
    await session.connection.flush()
    await session.connection.read_line()
    await session.reply(replies.AUTHENTICATION_UNSUCCESSFUL)


def _verified_account(
    session: ServerSession, mechanism: str, credentials: SubmittedCredentials | None
) -> Account | None:
    account = session.state.accounts.get(credentials.mailbox) if credentials else None
    if account is None or credentials is None:
        return None
    valid = (
        account.accepts_password(credentials.secret)
        if mechanism == "LOGIN"
        else account.accepts_token(credentials.secret)
    )
    return account if valid else None


async def _login(session: ServerSession, initial: str | None) -> SubmittedCredentials | None:
    user = _decoded(initial if initial is not None else await _challenge(session, replies.ASK_USERNAME))
    if user is None:
        return None
    password = _decoded(await _challenge(session, replies.ASK_PASSWORD))
    return None if password is None else SubmittedCredentials(user, password)


async def _xoauth2(session: ServerSession, initial: str | None) -> SubmittedCredentials | None:
    response = _decoded(initial if initial is not None else await _challenge(session, replies.ASK_TOKEN))
    fields = response.split("\x01") if response is not None else []
    match fields:
        case [user, bearer, "", ""] if user.startswith("user=") and bearer.startswith("auth=Bearer "):
            return SubmittedCredentials(user.removeprefix("user="), bearer.removeprefix("auth=Bearer "))
    return None


async def _challenge(session: ServerSession, challenge: str) -> str:
    await session.reply(challenge)
    await session.connection.flush()
    answer = await session.connection.read_line()
    session.record.commands.append("***")
    return answer.decode("ascii", "replace")


def _decoded(text: str) -> str | None:
    """Decode base64. Return None for `*` (cancel) and for invalid base64: Exchange replies 535 to both, not 501."""
    try:
        return base64.b64decode("" if text == "=" else text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
