"""Rules for bounces because of the recipient's address: unknown, disabled, malformed, or in a domain without mail.

Only rules in this module have `suppress_after`, and only for an address that is dead for good.
"""

from app.mail.office365 import sources
from app.mail.office365.bounces.constructors import address_rule, receiver_rule
from app.mail.office365.fixes import CORRECT_ADDRESS
from app.mail.outcome.rule import enhanced
from app.mail.outcome.verdict import Confidence

# Servers also send the codes of an unknown address for mail that they do not want.
_ABOUT_MAIL = (
    "spam", "block", "policy", "reputation", "rate limit", "at a rate", "quota", "mailbox full", "is full",
    "access denied", "not allowed", "try again", "spf", "dkim", "dmarc",
)  # fmt: skip
_ABOUT_DOMAIN = (
    "domain", "host unknown", "host not found", "unknown host", "no such host", "null mx", "nullmx", "no mx",
)  # fmt: skip

RULES = (
    address_rule(
        name="bounced-unknown-recipient",
        statuses=enhanced("5.1.1", "5.1.10"),
        text=("resolver.adr.recipientnotfound", "resolver.adr.recipnotfound", "resolver.adr.exrecipnotfound"),
        none_of=_ABOUT_MAIL,
        suppress_after=1,
        summary="The recipient's address does not exist.",
        fix=CORRECT_ADDRESS,
    ),
    address_rule(
        name="bounced-domain-without-mail",
        statuses=enhanced("5.1.2"),
        any_of=_ABOUT_DOMAIN,
        text_fallback=("host unknown", "host not found", "null mx"),
        none_of=_ABOUT_MAIL,
        suppress_after=1,
        summary="The recipient's domain accepts no mail.",
        fix=CORRECT_ADDRESS,
        source=sources.RFC_3463,
        confidence=Confidence.MEDIUM,
    ),
    address_rule(
        name="bounced-domain-unknown",
        statuses=enhanced("5.4.310"),
        suppress_after=2,
        summary="The recipient's domain does not exist in the DNS.",
        fix=f"{CORRECT_ADDRESS} If the domain is right, its owner must repair its DNS.",
    ),
    address_rule(
        name="bounced-recipient-disabled",
        statuses=enhanced("5.2.1"),
        none_of=(
            *_ABOUT_MAIL,
            "quarantine",
            "storedrv.submission",
            "content filter",
            "receiving mail",
            "cannot be accessed",
        ),
        suppress_after=2,
        summary="The recipient's mailbox is disabled.",
        fix="Ask the recipient for another address.",
        source=sources.RFC_3463,
        confidence=Confidence.MEDIUM,
    ),
    address_rule(
        name="bounced-recipient-rejected",
        statuses=enhanced("5.4.1", "5.5.0", "5.1.351", "5.7.504", "5.7.505"),
        any_of=("recipient", "mailbox", "user"),
        none_of=("relay access denied",),
        text_fallback=("user unknown", "unknown user", "no such user", "recipient address rejected"),
        text=("remote server returned unknown recipient", "access denied, banned recipient"),
        summary="The recipient's server says that it has no such address.",
        fix=f"{CORRECT_ADDRESS} If the address is right, the recipient's administrator must check the list of "
        "addresses.",
    ),
    address_rule(
        name="bounced-unknown-to-server",
        statuses=enhanced("5.1.351", "5.4.1"),
        none_of=("relay",),
        summary="The recipient's server says that it has no such address.",
        fix=CORRECT_ADDRESS,
    ),
    address_rule(
        name="bounced-invalid-address",
        statuses=enhanced("5.1.3", "5.1.4", "5.1.5", "5.1.6"),
        summary="The recipient's address is not one that mail can be delivered to.",
        fix=CORRECT_ADDRESS,
        source=sources.EXCHANGE_REPORTS,
    ),
    address_rule(
        name="bounced-destination-system",
        statuses=enhanced("5.1.2"),
        summary="The system that the recipient's address names cannot be reached by mail.",
        fix=CORRECT_ADDRESS,
        source=sources.RFC_3463,
        confidence=Confidence.LOW,
    ),
    address_rule(
        name="bounced-no-route",
        statuses=enhanced("5.4.4"),
        summary="Exchange finds no way to the recipient's domain: the name or its MX record is wrong.",
        fix=f"{CORRECT_ADDRESS} If the domain is right, its owner must repair the MX record.",
        source=sources.EXCHANGE_REPORTS,
    ),
    receiver_rule(
        name="bounced-address-unresolved",
        statuses=enhanced("5.1.0"),
        summary="The recipient's server refuses the sender's or the recipient's address.",
        fix="Read the reason in the reply. Check the recipient's address first, then the SPF record of your domain.",
    ),
)
