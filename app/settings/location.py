"""Where a setting of a mailbox stands, for the one line that names it. Knows no values."""

from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "POSTERN_"


@dataclass(frozen=True, slots=True)
class SettingLocation:
    """`table` is the mailbox's own, such as `pools[0].mailboxes[2]`, or "" if its settings are those at top level.

    `inherited` are the settings that it has from the top level.
    """

    table: str = ""
    inherited: frozenset[str] = frozenset()

    def full_name(self, field: str) -> str:
        """In full, at the head of the line: `POSTERN_CLIENT_ID` or `pools[0].mailboxes[2].client_id`."""
        return variable(field) if self._at_top(field) else f"{self.table}.{field}"

    def short_name(self, field: str) -> str:
        """As a neighbour is called: `POSTERN_CLIENT_ID` or `client_id`."""
        return variable(field) if self._at_top(field) else field

    def _at_top(self, field: str) -> bool:
        return not self.table or field in self.inherited


def variable(field: str) -> str:
    """The name in the environment of a setting at top level."""
    return PREFIX + field.upper()


def path(location: Sequence[int | str]) -> str:
    """A place inside the file: `pools[0].mailboxes[2].client_id`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
