"""SMTP replies and enhanced status codes (RFC 5321 §4.2, RFC 3463)."""

import re
from dataclasses import field
from typing import NamedTuple, Self

from app.frozen import frozen


class EnhancedStatus(NamedTuple):
    """Enhanced status code (RFC 3463 §2), compared as numbers: 5.7.1 is not a prefix of 5.7.139."""

    klass: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the status at the beginning of `text`, or None."""
        match = _STATUS.match(text)
        return cls(*(int(part) for part in match.groups())) if match else None

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


# RFC 3463 §2: class 2, 4 or 5; subject and detail of one to three digits; then a space or the end.
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


@frozen
class Reply:
    """SMTP reply. `text` has the lines joined by LF, without code and enhanced status."""

    code: int
    status: EnhancedStatus | None
    text: str
    _shown: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the displayed text once; several objects refer to it."""
        head = f"{self.code} {self.status} " if self.status else f"{self.code} "
        object.__setattr__(self, "_shown", head + self.text.replace("\n", " "))

    @classmethod
    def of(cls, code: int, lines: list[str]) -> Self:
        """Build a reply from the text after the code of each line; the status of the first line is removed from all."""
        status = EnhancedStatus.parse(lines[0]) if lines else None
        if status is None or status.klass != code // 100:
            return cls(code, None, "\n".join(lines))
        return cls(code, status, "\n".join(_without(status, line) for line in lines))

    @property
    def positive(self) -> bool:
        """True for a 2yz reply (RFC 5321 §4.2.1)."""
        return self.code // 100 == 2

    @property
    def transient(self) -> bool:
        """True for a 4yz reply."""
        return self.code // 100 == 4

    def __str__(self) -> str:
        return self._shown


def _without(status: EnhancedStatus, line: str) -> str:
    match = _STATUS.match(line)
    if match and str(status) == ".".join(match.groups()):
        return line[match.end() :].lstrip()
    return line
