"""Suppression list: addresses to which no email is sent, and the evidence for an entry. Pure."""

from enum import StrEnum
from uuid import UUID

from app.frozen import frozen
from app.mail.times import iso


class Origin(StrEnum):
    """Cause of an entry. Stored."""

    BOUNCE = "bounce"  # the recipient's server refused the address for good
    COMPLAINT = "complaint"  # the recipient objected to an email
    MANUAL = "manual"


class SeenBy(StrEnum):
    """Source of the evidence. Stored."""

    REPLY = "reply"  # the SMTP reply to Postern
    TRACE = "trace"  # Exchange's message trace
    NDR = "ndr"  # a non-delivery report (RFC 3464)


@frozen
class Evidence:
    """Report that caused an entry: the email, the enhanced status code (RFC 3463), and the server's text."""

    email_id: UUID
    code: str
    text: str
    seen_by: SeenBy


@frozen
class Listing:
    """Fact that an address is on the list, since a time (epoch seconds)."""

    origin: Origin
    since: float

    @property
    def reply(self) -> str:
        """Text that a suppressed recipient has in place of a server's reply."""
        return f"The address is on the suppression list since {iso(self.since)} ({self.origin})."


def comparable(addr_spec: str) -> str:
    """Return an addr-spec of an envelope as the list has it: the case of the local part makes no other address."""
    return addr_spec.lower()
