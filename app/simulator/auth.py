"""AUTH (RFC 4954) as Exchange does it: LOGIN and XOAUTH2, only under TLS. Never records a credential."""

import base64
import binascii
from dataclasses import dataclass, field

from app.simulator import replies
from app.simulator.account import Account
from app.simulator.faults import Point
from app.simulator.recorder import Login
from app.simulator.session import Session


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client showed: a password or a token."""

    mailbox: str
    secret: str = field(repr=False)


async def auth(session: Session, argument: str) -> None:
    """AUTH."""
    mechanism, _, initial = argument.partition(" ")
    mechanism = mechanism.upper()
    if session.record.tls is None or mechanism not in session.state.profile.mechanisms:
        await session.reply(replies.UNRECOGNIZED_AUTHENTICATION)
    elif not session.greeted or session.account is not None or session.transaction is not None:
        await session.reply(replies.BAD_SEQUENCE)
    else:
        shown = await (_login if mechanism == "LOGIN" else _xoauth2)(session, initial.strip() or None)
        await _judge(session, mechanism, shown)


async def _judge(session: Session, mechanism: str, shown: Credentials | None) -> None:
    mailbox = shown.mailbox if shown else ""
    session.record.logins += 1
    if await session.apply_faults(Point.AUTH, replies.AUTHENTICATED, mailbox=mailbox):
        session.state.recorder.add_login(Login(session.now, mailbox, mechanism, ok=False))
        if session.record.replies[-1].startswith("334"):
            await _after_detail(session)
        return
    account = _account(session, mechanism, shown)
    session.state.recorder.add_login(Login(session.now, mailbox, mechanism, ok=account is not None))
    if account is None:
        wrong_password = mechanism == "LOGIN" and shown is not None
        await session.reply_after_tarpit(
            replies.CREDENTIALS_INCORRECT if wrong_password else replies.AUTHENTICATION_UNSUCCESSFUL
        )
        return
    session.account = account
    session.record.mailbox = account.address
    await session.reply(replies.AUTHENTICATED)


async def _after_detail(session: Session) -> None:
    """Gmail's way, which a fault may ask for: the error's detail as a challenge, any answer, then the refusal."""
    await session.connection.flush()
    await session.connection.read_line()
    await session.reply(replies.AUTHENTICATION_UNSUCCESSFUL)


def _account(session: Session, mechanism: str, shown: Credentials | None) -> Account | None:
    account = session.state.accounts.get(shown.mailbox) if shown else None
    if account is None or shown is None:
        return None
    good = account.accepts_password(shown.secret) if mechanism == "LOGIN" else account.accepts_token(shown.secret)
    return account if good else None


async def _login(session: Session, initial: str | None) -> Credentials | None:
    user = _decoded(initial if initial is not None else await _ask(session, replies.ASK_USERNAME))
    if user is None:
        return None
    password = _decoded(await _ask(session, replies.ASK_PASSWORD))
    return None if password is None else Credentials(user, password)


async def _xoauth2(session: Session, initial: str | None) -> Credentials | None:
    blob = _decoded(initial if initial is not None else await _ask(session, replies.ASK_TOKEN))
    fields = blob.split("\x01") if blob is not None else []
    match fields:
        case [user, bearer, "", ""] if user.startswith("user=") and bearer.startswith("auth=Bearer "):
            return Credentials(user.removeprefix("user="), bearer.removeprefix("auth=Bearer "))
    return None


async def _ask(session: Session, challenge: str) -> str:
    await session.reply(challenge)
    await session.connection.flush()
    answer = await session.connection.read_line()
    session.record.commands.append("***")
    return answer.decode("ascii", "replace")


def _decoded(text: str) -> str | None:
    """None for the cancelling `*` and for what is not base64: Exchange answers 535 to both, not 501."""
    try:
        return base64.b64decode("" if text == "=" else text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
