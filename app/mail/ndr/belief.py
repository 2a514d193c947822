"""Conditions under which a non-delivery report counts: anybody can send one to a mailbox."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from app.frozen import frozen
from app.mail.delivery.matching import recipient_key
from app.mail.ndr.parse import RecipientReport, Report


@frozen
class SentEmail:
    """Email that Exchange has accepted from `mailbox`. `message_id` is without <>, `recipients` are addr-specs."""

    message_id: str
    mailbox: str
    recipients: frozenset[str]


class Disbelief(StrEnum):
    """Condition that a report of which nothing counts does not meet. A metric has the values."""

    NO_MESSAGE_ID = "no_message_id"  # none, or several different ones
    OTHER_EMAIL = "other_email"  # also of mail that people or other programs sent from the mailbox
    OTHER_MAILBOX = "other_mailbox"
    OTHER_RECIPIENT = "other_recipient"  # also of a member of a group that was on the email
    NOT_FAILED = "not_failed"


def bounces(report: Report, mailbox: str, sent: SentEmail | None) -> Mapping[str, RecipientReport]:
    """Return the recipients of `sent` whose bounce is believed, with what the report says of each.

    `mailbox` is the one that received the report; `sent` is the email with the report's Message-ID, if there is one.
    1. The report names exactly this Message-ID. 2. It came to the mailbox that sent the email. 3. The recipient was on
    the email. 4. The action is "failed". The first block of a recipient counts.
    """
    if sent is None or not report.message_id or report.message_id != sent.message_id:
        return {}
    if recipient_key(mailbox) != recipient_key(sent.mailbox):
        return {}
    found: dict[str, RecipientReport] = {}
    for address, block in _blocks_of(report, sent):
        if block.action == "failed":
            found.setdefault(address, block)
    return found


def disbelief(report: Report, mailbox: str, sent: Collection[SentEmail]) -> Disbelief:
    """Return the first condition that a report without a believed bounce fails for all of these emails."""
    if not report.message_id:
        return Disbelief.NO_MESSAGE_ID
    named = [email for email in sent if email.message_id == report.message_id]
    if not named:
        return Disbelief.OTHER_EMAIL
    own = [email for email in named if recipient_key(email.mailbox) == recipient_key(mailbox)]
    if not own:
        return Disbelief.OTHER_MAILBOX
    return Disbelief.NOT_FAILED if any(_blocks_of(report, email) for email in own) else Disbelief.OTHER_RECIPIENT


def _blocks_of(report: Report, sent: SentEmail) -> list[tuple[str, RecipientReport]]:
    """Return the blocks about recipients of the email, each with the address that the email has."""
    on_email = {recipient_key(address): address for address in sent.recipients}
    keys = [(recipient_key(block.recipient), recipient_key(block.original_recipient)) for block in report.recipients]
    found = [on_email.get(final) or on_email.get(original) for final, original in keys]
    return [(address, block) for address, block in zip(found, report.recipients, strict=True) if address is not None]
