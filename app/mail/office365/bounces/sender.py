"""Rules for bounces because of the sender: domain authentication, limits, reputation, and the email itself."""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.bounces.constructors import AGAIN_IF_BOUNCED, DNS, LESS, reputation_rule, sender_rule
from app.mail.office365.limits import RECIPIENTS_PER_DAY
from app.mail.outcome.rule import between, enhanced
from app.mail.outcome.verdict import Action, Confidence

_limit = partial(sender_rule, action=Action.DEFER)
_FLOW = "All mail to external recipients is shown at https://admin.exchange.microsoft.com, Reports, Mail flow."

RULES = (
    sender_rule(
        name="bounced-domain-authentication",
        statuses=enhanced("4.7.23", "5.7.23", "4.7.26", "5.7.26", "5.7.27", "5.7.509"),
        text=("sender policy framework violation", "does not pass dmarc"),
        summary="The recipient refuses the email because SPF, DKIM or DMARC of the sender's domain fails.",
        fix=DNS,
    ),
    sender_rule(
        name="bounced-outlook-authentication",
        statuses=enhanced("5.7.515"),
        text=("required authentication level",),
        summary="Outlook.com requires SPF, DKIM and DMARC to pass for this domain, because it sends much mail.",
        fix=DNS,
        source=sources.OUTLOOK_BULK,
    ),
    sender_rule(
        name="bounced-reverse-dns",
        statuses=enhanced("5.7.25"),
        summary="The recipient wants a reverse DNS record for the address that the email came from.",
        fix="Nothing to set up for mail that leaves Office 365 itself. If a connector of your own sends the mail on, "
        "give the IP address of that server a reverse DNS record.",
    ),
    sender_rule(
        name="bounced-sender-address",
        statuses=enhanced("5.1.7", "5.1.8"),
        none_of=("bad outbound sender", "access denied"),
        summary="The recipient's server refuses the sender's address or its domain.",
        fix="Check that the From address exists and that its domain has an MX record.",
        source=sources.RFC_3463,
    ),
    _limit(
        name="bounced-daily-limit",
        statuses=enhanced("5.1.90"),
        text=("daily limit for message recipients", "submission quota exceeded", "submissionquotaexceeded"),
        summary="The mailbox had reached its daily limit of recipients.",
        fix=f"Send the email again when fewer than {RECIPIENTS_PER_DAY:,} recipients lie in the last 24 hours, or use "
        "a second mailbox.",
    ),
    _limit(
        name="bounced-trial-limit",
        statuses=enhanced("5.7.232"),
        text=("trial tenant has exceeded its daily limit",),
        summary="Your trial organization had reached its daily limit of external recipients.",
        fix=f"Send the email again after 24 hours. A paid license has a higher limit. {_FLOW}",
        source=sources.TENANT_LIMIT,
    ),
    _limit(
        name="bounced-tenant-limit",
        statuses=enhanced("5.7.233"),
        text=("tenant external recipient rate limit", "tenant has exceeded its daily limit"),
        summary="Your organization had reached its daily limit of external recipients.",
        fix=f"Send the email again after 24 hours. {_FLOW}",
        source=sources.TENANT_LIMIT,
    ),
    _limit(
        name="bounced-onmicrosoft-limit",
        statuses=enhanced("5.7.236"),
        summary="Your organization had reached its daily limit of mail from its onmicrosoft.com address.",
        fix="Send the email again after 24 hours, or from an address of your own domain: add the domain at "
        "https://admin.microsoft.com, Settings, Domains, and make it part of the mailbox's address.",
        source=sources.TENANT_LIMIT,
    ),
    sender_rule(
        name="bounced-rich-text",
        statuses=enhanced("5.0.350"),
        any_of=("x-dg-ref",),
        text=("x-dg-ref header is too long",),
        summary="The recipient's server refuses a header that Outlook adds to rich text.",
        fix="Send the email as HTML or plain text.",
    ),
    sender_rule(
        name="bounced-content",
        statuses=enhanced("5.5.6"),
        text=("invalid message content",),
        summary="The recipient's server finds the email malformed.",
        fix="Send it again without attachments. If that works, add them one by one to find the damaged one.",
        source=sources.EXCHANGE_REPORTS,
        confidence=Confidence.MEDIUM,
    ),
    reputation_rule(
        name="bounced-rate-limited",
        statuses=enhanced("4.7.650", "4.7.651"),
        text=("rate limited due to ip reputation",),
        action=Action.DEFER,
        summary="Outlook.com slows down mail from this IP address of Microsoft because of its reputation.",
        fix=AGAIN_IF_BOUNCED,
        source=sources.MX_SIDE,
    ),
    reputation_rule(
        name="bounced-address-range-limit",
        statuses=enhanced("5.7.508"),
        text=("has exceeded permitted limits within",),
        action=Action.DEFER,
        summary="Too much mail came from this range of IP addresses within a short time.",
        fix=AGAIN_IF_BOUNCED,
    ),
    reputation_rule(
        name="bounced-suspicious",
        statuses=(between("4.7.500", "4.7.699") | between("4.7.850", "4.7.899")) - enhanced("4.7.500", "4.7.652"),
        text=("access denied, please try again later",),
        action=Action.DEFER,
        summary="Microsoft classifies the sending as suspicious and restricts it temporarily.",
        fix=AGAIN_IF_BOUNCED,
    ),
    reputation_rule(
        name="bounced-content-is-spam",
        statuses=enhanced("5.7.350", "5.7.500"),
        text=("remote server returned message detected as spam", "spam message rejected"),
        summary="The recipient's server takes the email for spam.",
        fix=f"Change the text, the links or the attachments. {LESS}",
        source=sources.LOG,
    ),
    reputation_rule(
        name="bounced-address-banned",
        statuses=between("5.7.606", "5.7.649") | enhanced("5.7.511"),
        text=("banned sending ip", "banned sender["),
        summary="The recipient's server has banned the IP address that the email came from.",
        fix=f"Send it again later: Office 365 then uses another address. {LESS}",
    ),
    reputation_rule(
        name="bounced-block-list",
        statuses=enhanced("5.7.1"),
        any_of=("block list", "blocked using", "spamhaus", "blacklist", "spam"),
        text=("part of their network is on our block list", "is listed in spamhaus"),
        summary="The recipient's server finds the IP address, or a domain in the email, on a block list, or takes the "
        "email for spam.",
        fix=LESS,
        source=sources.LOG,
    ),
)
