"""Conditions under which a non-delivery report counts: anybody can send one to a mailbox."""

from collections.abc import Mapping

from app.frozen import frozen
from app.mail.delivery.matching import recipient_key
from app.mail.ndr.parse import RecipientReport, Report


@frozen
class SentEmail:
    """Email that Exchange has accepted from `mailbox`. `message_id` is without <>, `recipients` are addr-specs."""

    message_id: str
    mailbox: str
    recipients: frozenset[str]


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
    on_email = {recipient_key(address): address for address in sent.recipients}
    found: dict[str, RecipientReport] = {}
    for block in report.recipients:
        address = on_email.get(recipient_key(block.recipient)) or on_email.get(recipient_key(block.original_recipient))
        if block.action == "failed" and address is not None:
            found.setdefault(address, block)
    return found
