"""The log says what failed and where, and keeps every secret that was near."""

import json
from collections.abc import Iterator

import pytest

from app import logs


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
