"""Log lines have fault and place, and no secret."""

import json
import re
from uuid import UUID

import pytest

from app import logs
from app.mail.lifecycle import Event
from app.mail.outcome.attempt import Phase


def failing(password: str) -> None:
    """Raise in a function that holds a secret."""
    held = [password]
    raise KeyError(len(held))


@pytest.mark.parametrize("human", [True, False])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], human: bool) -> None:
    """Source lines, but not the values of variables (design guarantee 6)."""
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
    """No external text can end a line, control a terminal, or prevent the write."""
    odd = "\n\x1b[2J\x7f\x9b\u2028\ud800ü"
    for reported in (odd, odd.replace("\ud800", "")):
        logs.configure(human=False)
        logs.refused(status=404, name="not_found", message=reported, method="GET", path="/", client="127.0.0.1")
        line = capsys.readouterr().err
        assert line.isascii()
        assert line.count("\n") == 1
        assert "\x1b" not in line
        assert "\x7f" not in line
        facts = json.loads(line)
        assert (facts["event"], facts["level"], facts["message"]) == ("request.refused", "info", reported)
        assert facts["timestamp"].endswith("Z")


def test_addresses_can_be_masked(capsys: pytest.CaptureFixture[str]) -> None:
    """Anywhere in a line, with tracebacks; those of our own mailboxes stay, because a fix names them."""
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


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('"a\\"b"@example.net', "***@example.net"),
        ('<"ada \\"the\\" l."@example.net>', "<***@example.net>"),
        ('"back\\\\"@example.net', "***@example.net"),
        ('"ada@home"@example.net', "***@example.net"),
        ('said "ada@example.net is full", "a\\"b"@example.net', 'said "***@example.net is full", ***@example.net'),
        ('an "open quote ada@example.net', 'an "open quote ***@example.net'),
        ("/emails/ada@example.net/x,bob@example.org", "***@example.net/x,***@example.org"),
        ("noreply@contoso.com, not@contoso.com", "noreply@contoso.com, ***@contoso.com"),
        ("@example.net a@ @ a@-", "@example.net a@ @ a@-"),
        ("a@b.c@d.e", "***@b.c@d.e"),
    ],
)
def test_every_form_of_a_local_part_is_masked(capsys: pytest.CaptureFixture[str], text: str, masked: str) -> None:
    """Also quoted ones with quotation marks and @ inside."""
    logs.configure(human=False, shown=frozenset({"noreply@contoso.com"}))
    logs.refused(status=404, name="not_found", message=text, method="GET", path="/", client="127.0.0.1")
    assert json.loads(capsys.readouterr().err)["message"] == masked


@pytest.mark.parametrize("human", [True, False])
@pytest.mark.parametrize("shown", [None, frozenset({"noreply@contoso.com"})])
def test_no_line_repeats_more_than_some_hundred_characters_of_a_value(
    capsys: pytest.CaptureFixture[str], human: bool, shown: frozenset[str] | None
) -> None:
    """A path, a reply, the text of an exception."""
    logs.configure(human=human, shown=shown)
    huge = "x" * 5_000_000
    logs.refused(status=404, name="not_found", message=huge, method=huge, path=f"/{huge} @x", client="127.0.0.1")
    assert len(capsys.readouterr().err) < 2500
    try:
        raise ValueError(huge)
    except ValueError as error:
        logs.crashed(huge, error)
        logs.store_failed(huge, error)
    written = capsys.readouterr().err
    assert len(written) < 6000
    assert "ValueError: xxx" in written


def test_lines_for_a_terminal_escape_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """In values with and without blanks, and in the text of an exception; only our own colours are used."""
    logs.configure(human=True)
    for odd in ("\x1b[2J\x9b\u202e\x7f\u200b", "a b\x1b[2J\x9b\u202e\x7f\u200b\nforged"):
        logs.refused(status=404, name="not_found", message=odd, method=odd, path=odd, client=odd)
        try:
            raise ValueError(odd)
        except ValueError as error:
            logs.crashed(odd, error)
    written = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)
    assert not re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", written)
    assert "\\u202e" in written
    assert "\\x1b[2J" in written


def test_an_enum_is_written_as_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(human=True)
    logs.attempted(
        UUID(int=1), mailbox="m@contoso.com", number=1, phase=Phase.DOT, outcome=Event.GIVE_BACK, seconds=0.1, reply=""
    )
    assert "<" not in capsys.readouterr().err
