"""An SMTP reply as a value (RFC 5321 §4.2, RFC 3463). Judges nothing: that is policy's."""

import re
from dataclasses import field
from typing import NamedTuple, Self

from app.frozen import frozen


class EnhancedStatus(NamedTuple):
    """RFC 3463 class.subject.detail, compared as numbers: 5.7.1 is not a prefix of 5.7.139."""

    klass: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The status that opens `text`, or None. Also behind Exchange's `SMTP;` forms it must come first."""
        match = _STATUS.match(text)
        return cls(*(int(part) for part in match.groups())) if match else None

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


# RFC 3463 §2: class 2, 4 or 5; subject and detail of one to three digits; then a space or the end.
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


@frozen
class Reply:
    """A whole reply. `text` has the lines joined by LF, without code and without the enhanced status."""

    code: int
    status: EnhancedStatus | None
    text: str
    _shown: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put together what people read, once: it is kept in several places."""
        head = f"{self.code} {self.status} " if self.status else f"{self.code} "
        object.__setattr__(self, "_shown", head + self.text.replace("\n", " "))

    @classmethod
    def of(cls, code: int, lines: list[str]) -> Self:
        """From the text after the code of each line; the status is taken from the first line, and off every line."""
        status = EnhancedStatus.parse(lines[0]) if lines else None
        if status is None or status.klass != code // 100:
            return cls(code, None, "\n".join(lines))
        return cls(code, status, "\n".join(_without(status, line) for line in lines))

    @property
    def positive(self) -> bool:
        """2yz: done (RFC 5321 §4.2.1)."""
        return self.code // 100 == 2

    @property
    def transient(self) -> bool:
        """4yz."""
        return self.code // 100 == 4

    def __str__(self) -> str:
        return self._shown


def _without(status: EnhancedStatus, line: str) -> str:
    match = _STATUS.match(line)
    if match and str(status) == ".".join(match.groups()):
        return line[match.end() :].lstrip()
    return line
