"""Names of settings: environment variables, locations in postern.toml, and names in error messages."""

from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "POSTERN_"


@dataclass(frozen=True, slots=True)
class SettingLocation:
    """Location of a mailbox's settings: `table` is `pools[0].mailboxes[2]`, or "" for the top level.

    `inherited` settings are taken from the top level. `prefix` is that of the names of all these settings.
    """

    table: str = ""
    inherited: frozenset[str] = frozenset()
    prefix: str = ""

    def full_name(self, field: str) -> str:
        """Return the name at the start of an error line: `POSTERN_CLIENT_ID` or `pools[0].mailboxes[2].client_id`."""
        name = self.prefix + field
        return variable(name) if self._at_top(field) else f"{self.table}.{name}"

    def short_name(self, field: str) -> str:
        """Return the name for use inside a sentence: `POSTERN_CLIENT_ID` or `client_id`."""
        name = self.prefix + field
        return variable(name) if self._at_top(field) else name

    def _at_top(self, field: str) -> bool:
        return not self.table or field in self.inherited


def variable(field: str) -> str:
    """Return the environment variable of a setting at top level."""
    return PREFIX + field.upper()


def path(location: Sequence[int | str]) -> str:
    """Return a location inside the file: `pools[0].mailboxes[2].client_id`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
