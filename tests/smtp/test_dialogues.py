"""SMTP dialogues as files: the commands and replies, and the result.

A file in `dialogues/` is read from top to bottom:

    # comment
    login: XOAUTH2              log in with a token instead of a password
    recipients: a@example.net b@example.net
    INCLUDE login               the steps of dialogues/shared/login.txt
    S: 220 server ready         the server sends this line; lines of S without another step between are one segment
    C: EHLO …                   the client has to send this line; … is any text
    C: (content)                the client has to send the lines of the message; `C:` alone is an empty line
    TLS                         both sides start TLS
    CLOSE                       the server closes the connection; a file without it ends when the client closes
    => replied at dot: 250 OK   the result, line by line

The client opens a session, sends one message and quits.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt
from app.mail.policy import judge_reply
from app.smtp.auth.credentials import LoginSecret, Mechanism, Password
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session
from app.smtp.protocol import Timeouts
from tests.smtp.conftest import CONTENT, CREDENTIALS, ENVELOPE, MAILBOX, Connections, allow_dot
from tests.smtp.scripted_server import ScriptedConnection

FOLDER = Path(__file__).with_name("dialogues")
DIALOGUES = sorted(path.stem for path in FOLDER.glob("*.txt"))


class Token(Password):
    """Bearer token in the place of a password."""

    async def secret(self) -> LoginSecret:
        return LoginSecret(Mechanism.XOAUTH2, MAILBOX, "a-token-for-tests")


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a dialogue without comments, with the included ones."""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("INCLUDE "):
            yield from lines_of(FOLDER / "shared" / f"{line.removeprefix('INCLUDE ')}.txt")
        elif line == "C: (content)":
            yield from (f"C: {text}" for text in CONTENT.decode().splitlines())
        elif line and not line.startswith("#"):
            yield line


async def expect(connection: ScriptedConnection, pattern: str) -> None:
    """Read one line of the client and compare it."""
    line = (await connection.read_until()).decode().removesuffix("\r\n")
    assert re.fullmatch(re.escape(pattern).replace("…", ".*"), line), f"{pattern!r} was expected, {line!r} was sent"


async def play(connection: ScriptedConnection, steps: list[str]) -> None:
    """Run the server's side."""
    pending = b""
    for step in [*steps, "END"]:
        if step.startswith("S: "):
            pending += step.removeprefix("S: ").encode() + b"\r\n"
            continue
        if pending:
            await connection.write(pending)
            pending = b""
        if step == "TLS":
            await connection.start_tls()
        elif step == "CLOSE":
            connection.close()
            return
        elif step == "END":
            before = len(connection.received)
            assert (await connection.read_all())[before:] == b""
        else:
            await expect(connection, step.removeprefix("C:").removeprefix(" "))


def result_of(outcome: Refusal | Attempt) -> Iterator[str]:
    """Yield the lines of a result."""
    assert outcome.reply is not None
    if isinstance(outcome, Refusal):
        yield f"refused at {outcome.phase.value}: {outcome.reply}".rstrip()
        if outcome.login_rejected:
            yield "login rejected"
        return
    yield f"replied at {outcome.phase.value}: {outcome.reply}".rstrip()
    yield from (f"recipient {recipient}: {reply}" for recipient, reply in outcome.refused.items())


@pytest.mark.parametrize("name", DIALOGUES)
async def test_a_dialogue_has_its_result(connections: Connections, name: str) -> None:
    lines = [*lines_of(FOLDER / f"{name}.txt")]
    options = dict(line.split(": ", 1) for line in lines if re.match("login|recipients", line))
    expected = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
    steps = [line for line in lines if re.match("C:|S: |TLS$|CLOSE$", line)]
    assert len(options) + len(expected) + len(steps) == len(lines)
    envelope = Envelope(MAILBOX, tuple(options["recipients"].split())) if "recipients" in options else ENVELOPE
    credentials = Token(MAILBOX, "") if options.get("login") == "XOAUTH2" else CREDENTIALS
    server = await connections.scripted_server(lambda connection: play(connection, steps))
    try:
        opened = await open_session(connections.upstream_to(server, Timeouts(quit=0.3)), credentials)
        if isinstance(opened, Session):
            outcome: Refusal | Attempt = await opened.send(envelope, CONTENT, allow_dot)
            await opened.quit()
        else:
            outcome = opened
        result = [*result_of(outcome)]
        if expected[-1].startswith("rule "):
            assert outcome.reply is not None
            result.append(f"rule {judge_reply(outcome.phase, outcome.reply).rule}")
    except SessionError as error:
        failure = error.failure
        result = [f"failed at {failure.phase.value}: {failure.kind.value}{', in doubt' * failure.in_doubt}"]
    assert result == expected
    await server.done()
