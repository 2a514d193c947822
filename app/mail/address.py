"""Email addresses: one parser, one rendering."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox (RFC 5322 §3.4): `local` as given, `domain` in lower-case A-labels, `display_name` plain or ""."""

    local: str
    domain: str
    display_name: str = ""

    @property
    def addr_spec(self) -> str:
        """local@domain, as the envelope wants it."""
        return f"{self.local}@{self.domain}"
