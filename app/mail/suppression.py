"""Suppression list: addresses to which no email is sent, the evidence for it, and the bounces that cause it. Pure.

A bounce is about one recipient: a reply to RCPT, or to the content of a message that had no other recipient left.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from uuid import UUID

from app.frozen import frozen
from app.mail.office365.bounces.lookup import may_suppress
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.times import DAY, iso

BOUNCE_WINDOW = 1.0 * DAY  # seconds within which several bounces of an address count together


_MAX_NAMED = 5  # addresses in a sentence


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


@frozen
class Bounce:
    """Reply that says that an address is dead.

    `needed`: number of emails that must bounce within BOUNCE_WINDOW before the address is suppressed.
    """

    address: str
    code: str  # enhanced status code
    text: str
    needed: int


def bounces(attempt: Attempt, recipients: Sequence[str], own: Sequence[str]) -> tuple[Bounce, ...]:
    """Return the bounces of an attempt. `own`: addresses of the sender's organization, whose domains never count."""
    domains = {_domain(address) for address in own}
    return tuple(
        Bounce(address, str(reply.status), reply.text, needed)
        for address, reply in _refusals(attempt, recipients)
        if reply.status is not None
        and (needed := may_suppress(str(reply.status), reply.text, own_organization=_domain(address) in domains))
    )


def _refusals(attempt: Attempt, recipients: Sequence[str]) -> Iterator[tuple[str, Reply]]:
    """Yield the replies that refuse one recipient."""
    yield from ((address, reply) for address, reply in attempt.refused.items() if address in recipients)
    remaining = [address for address in recipients if address not in attempt.refused]
    if len(remaining) == 1 and attempt.phase is Phase.DOT and attempt.reply is not None:
        yield remaining[0], attempt.reply


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def stay_suppressed(addresses: Sequence[str]) -> str:
    """Return the sentence for recipients of an email that is sent again who get nothing: who, and how to lift it."""
    others = len(addresses) - _MAX_NAMED
    named = ", ".join(addresses[:_MAX_NAMED]) + (f" and {others} others" if others > 0 else "")
    return (
        f"Still on the suppression list, and not sent to: {named}. To lift it, remove the address (DELETE "
        "/suppressions/{address}, `postern suppressions remove`, or Suppressions in the console) and submit the email "
        "again."
    )


def comparable(addr_spec: str) -> str:
    """Return an addr-spec of an envelope as the list has it: the case of the local part makes no other address."""
    return addr_spec.lower()
