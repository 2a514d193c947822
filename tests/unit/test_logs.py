"""The log says what failed and where, and keeps every secret that was near."""

import json
import re
from collections.abc import Iterator
from uuid import UUID

import pytest

from app import logs
from app.mail.attempt import Phase
from app.mail.lifecycle import Event


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    logs.configure(human=True)


def failing(password: str) -> None:
    """A bug in a function that holds a secret."""
    held = [password]
    raise KeyError(len(held))


@pytest.mark.parametrize("human", [True, False])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], human: bool) -> None:
    """Lines of code, but never what the variables held (design guarantee 6)."""
    logs.configure(human=human)
    try:
        failing("correct" + "horse")
    except KeyError as error:
        logs.crashed("somewhere", error)
    written = capsys.readouterr().err
    assert "KeyError" in written
    assert "failing" in written
    assert "correcthorse" not in written


def test_a_line_is_one_json_object_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever came from outside: it cannot end a line, speak to a terminal, or keep the line from being written."""
    odd = "\n\x1b[2J\x9b\u2028\ud800ü"
    for told in (odd, odd.replace("\ud800", "")):
        logs.configure(human=False)
        logs.refused(status=404, name="not_found", message=told, method="GET", path="/", client="127.0.0.1")
        line = capsys.readouterr().err
        assert line.isascii()
        assert line.count("\n") == 1
        assert "\x1b" not in line
        facts = json.loads(line)
        assert (facts["event"], facts["level"], facts["message"]) == ("request.refused", "info", told)
        assert facts["timestamp"].endswith("Z")


def test_addresses_can_be_masked(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever they stand in a line, tracebacks included; those of our own mailboxes stay, as a mend names them."""
    theirs = ["ada.lovelace@example.net", '"ada l."@example.net', "ädä@exämple.net", "ADA+tag@example.net"]
    for human in (True, False):
        logs.configure(human=human, shown=frozenset({"noreply@contoso.com"}))
        for address in theirs:
            reply = f"550 5.1.1 <{address}>: {address}, to:{address} no such user"
            logs.attempted(
                UUID(int=1),
                mailbox="noreply@contoso.com",
                number=1,
                phase="rcpt",
                outcome="finish",
                seconds=0.1,
                reply=reply,
            )
            try:
                raise ValueError(f"a bug at {address}")
            except ValueError as error:
                logs.crashed("somewhere", error, email=UUID(int=1))
        logs.mailbox_held("noreply@contoso.com", reason="It is.", fix="Set-CASMailbox -Identity noreply@contoso.com")
        written = capsys.readouterr().err
        assert not {"ada", "lovelace", "ADA", "tag"} & {*re.findall(r"[A-Za-z]+", written.replace("exämple", ""))}
        assert "\u00e4d\u00e4@" not in written
        assert "\\u00e4d\\u00e4@" not in written
        assert "***@example.net" in written
        assert "-Identity noreply@contoso.com" in written
        assert "test_addresses_can_be_masked" in written


def test_a_name_is_a_name_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a phase and an outcome the word is written, not what Python calls it."""
    logs.configure(human=True)
    logs.attempted(
        UUID(int=1), mailbox="m@contoso.com", number=1, phase=Phase.DOT, outcome=Event.GIVE_BACK, seconds=0.1, reply=""
    )
    assert "<" not in capsys.readouterr().err
