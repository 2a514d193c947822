"""The dialogue as kept for people: bounded in lines and in length, credentials masked, content never."""

import re
from collections.abc import Iterable

from app.mail.outcome.attempt import Line
from app.mail.outcome.reply import Reply

_FIRST = 60  # lines kept from the start
_LAST = 40  # and from the end: the reply that decided is there
_MAX_LINE = 1000  # characters of a line
_MASK = "****"
_WORD = re.compile(r"[A-Za-z0-9+/=._~-]{6,}")


class Transcript:
    """What was said, in order."""

    __slots__ = ("_before", "_said")

    def __init__(self, before: tuple[Line, ...] = ()) -> None:
        self._before = before
        self._said: list[Line] = []

    def add_command(self, text: str) -> None:
        """We said `text`: a command without CRLF, its secret already masked."""
        self._said.append(Line("C", text[:_MAX_LINE]))

    def add_reply(self, reply: Reply) -> None:
        """The server answered."""
        self._said.append(Line("S", str(reply)[:_MAX_LINE]))

    def lines(self) -> tuple[Line, ...]:
        """All that is kept: the start, and the end with the reply that decided."""
        missing = len(self._said) - _FIRST - _LAST
        if missing <= 0:
            return (*self._before, *self._said)
        gap = Line("C", f"({missing} lines left out)")
        return (*self._before, *self._said[:_FIRST], gap, *self._said[-_LAST:])


def mask(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, nor a piece of one: Exchange echoes commands it does not know, cut short."""
    whole = [secret for secret in secrets if secret]
    for secret in whole:
        text = text.replace(secret, _MASK)
    return _WORD.sub(lambda word: _MASK if any(word.group() in secret for secret in whole) else word.group(), text)
