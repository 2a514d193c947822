"""The log says what failed and where, and keeps every secret that was near."""

from collections.abc import Iterator

import pytest
import structlog

from app import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


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
