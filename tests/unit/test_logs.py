"""The log says what failed and where, and keeps every secret that was near."""

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from app import logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to standard error."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    structlog.reset_defaults()


def failing(password: str) -> None:
    """A bug in a function that holds a secret."""
    held = [password]
    raise KeyError(len(held))


@pytest.mark.parametrize("human", [True, False])
def test_a_traceback_shows_no_values(written: io.StringIO, human: bool) -> None:
    """Lines of code, but never what the variables held (design guarantee 6)."""
    logs.configure(human=human)
    try:
        failing("correct" + "horse")
    except KeyError as error:
        logs.crashed("somewhere", error)
    assert "KeyError" in written.getvalue()
    assert "failing" in written.getvalue()
    assert "correcthorse" not in written.getvalue()
