"""Rules for refusals that Exchange normally reports after acceptance, in a non-delivery report to the mailbox.

As a reply they mean the same. Their confidence is LOW: none has been seen as a reply on port 587.
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import CORRECT_ADDRESS, NOTHING, SUPPORT, UNBLOCK
from app.mail.outcome.rule import (
    AUTH,
    REFUSALS,
    TRANSACTION,
    Rule,
    between,
    deferred_message_rule,
    deferred_recipient_rule,
    enhanced,
    failed_message_rule,
    failed_recipient_rule,
    tenant_rule,
)
from app.mail.outcome.verdict import Responsible, Scope
from app.mail.times import HOUR

_EXTERNAL = (
    "Nothing to do: the limit counts the last 24 hours of the whole organization, and Postern tries again every hour. "
    "All mail to external recipients is shown at https://admin.exchange.microsoft.com, Reports, Mail flow."
)

_blocked = partial(
    tenant_rule,
    phases=AUTH | TRANSACTION,
    codes=range(500, 600),
    source=sources.NON_DELIVERY,
    hold=True,
    pause=HOUR,
)
_refused = partial(failed_message_rule, phases=TRANSACTION, codes=REFUSALS, source=sources.NON_DELIVERY)
_undeliverable = partial(failed_recipient_rule, phases=TRANSACTION, codes=REFUSALS, source=sources.NON_DELIVERY)

RULES: tuple[Rule, ...] = (
    _blocked(
        name="sender-restricted",
        responsible=Responsible.REPUTATION,
        statuses=enhanced("5.1.8"),
        any_of=("access denied", "outbound"),
        text=("bad outbound sender",),
        text_fallback=("bad outbound sender",),
        scope=Scope.MAILBOX,
        summary="Microsoft has restricted the mailbox, because its mail was classified as spam.",
        fix=UNBLOCK,
    ),
    _blocked(
        name="account-banned",
        responsible=Responsible.REPUTATION,
        statuses=enhanced("5.7.501", "5.7.502", "5.7.503"),
        text=("spam abuse detected",),
        text_fallback=("access denied, banned sender",),
        scope=Scope.MAILBOX,
        summary="Microsoft has banned the account from sending, because of spam.",
        fix=SUPPORT,
    ),
    _blocked(
        name="trial-external-limit",
        statuses=enhanced("5.7.232"),
        text=("trial tenant has exceeded its daily limit",),
        summary="Your trial organization has reached its daily limit of external recipients.",
        hold=False,
        fix=f"{_EXTERNAL} A paid license has a higher limit.",
        source=sources.TENANT_LIMIT,
    ),
    _blocked(
        name="tenant-external-limit",
        statuses=enhanced("5.7.233"),
        text=("tenant external recipient rate limit", "tenant has exceeded its daily limit"),
        summary="Your organization has reached its daily limit of external recipients.",
        hold=False,
        fix=_EXTERNAL,
        source=sources.TENANT_LIMIT,
    ),
    _blocked(
        name="onmicrosoft-limit",
        statuses=enhanced("5.7.236"),
        summary="Your organization may send to 100 external recipients a day from an onmicrosoft.com address.",
        fix="Send from an address of your own domain: add the domain at https://admin.microsoft.com, Settings, "
        "Domains, and make it part of the mailbox's address.",
    ),
    _blocked(
        name="address-not-accepted",
        responsible=Responsible.REPUTATION,
        statuses=enhanced("5.7.708"),
        text=("traffic not accepted from this ip",),
        summary="Microsoft does not accept your organization's mail from this IP address. This happens mostly to trial "
        "organizations.",
        fix=SUPPORT,
    ),
    _refused(
        name="tenant-block-list",
        statuses=enhanced("5.7.703"),
        any_of=("allow block list", "allow/block list", "blocked by your organization"),
        text=("tenant allow block list", "tenant allow/block list", "tenant recipient block policy"),
        summary="A recipient is on your own organization's block list, so the message is refused for all.",
        fix="Remove the address from the list at https://security.microsoft.com/tenantAllowBlockList, or send without "
        "this recipient.",
    ),
    _blocked(
        name="tenant-over-threshold",
        responsible=Responsible.REPUTATION,
        statuses=between("5.7.700", "5.7.749"),
        text=("tenant has exceeded threshold", "tenant exceeded threshold"),
        summary="Microsoft has blocked your organization's outgoing mail, because of too much spam or bulk mail.",
        fix=SUPPORT,
        source=sources.TENANT_BLOCK,
    ),
    _blocked(
        name="unregistered-domain",
        statuses=enhanced("5.7.750"),
        text=("blocked from sending from unregistered domain",),
        text_fallback=("unregistered domain",),
        summary="Microsoft has blocked your organization, because it sends from domains that are not registered with "
        "it.",
        fix="Add every domain you send from at https://admin.microsoft.com, Settings, Domains. Then ask Microsoft to "
        "lift the block: Support, New service request.",
    ),
    _blocked(
        name="tenant-blocked",
        responsible=Responsible.REPUTATION,
        statuses=enhanced("5.7.800"),
        summary="Microsoft has blocked your organization from sending.",
        fix=SUPPORT,
    ),
    _refused(
        name="forwarding-forbidden",
        statuses=enhanced("5.7.520"),
        any_of=("forward", "as(7555)"),
        text_fallback=("external forwarding",),
        text=("does not allow external forwarding",),
        summary="Your organization forbids forwarding to external addresses.",
        fix="Send directly, or allow it at https://security.microsoft.com, Policies, Anti-spam, Anti-spam outbound "
        "policy.",
    ),
    _refused(
        name="content-is-spam",
        responsible=Responsible.REPUTATION,
        statuses=enhanced("5.7.520"),
        any_of=("spam", "as(48"),
        text_fallback=("identified as spam",),
        text=("content identified as spam", "rejected as spam", "as(4810)"),
        summary="Microsoft has classified this email's content as spam and has not sent it.",
        fix="Change the text, the links or the attachments, and send it only to recipients who expect it. If the "
        "content is right, report it to Microsoft at https://security.microsoft.com, Submissions.",
        source=sources.LOG,
    ),
    _refused(
        name="outbound-policy",
        statuses=enhanced("5.7.520"),
        summary="Microsoft's outbound filter has refused this email; the reply contains the reason.",
        fix="Check the outbound rules at https://security.microsoft.com, Policies, Anti-spam, Anti-spam outbound "
        "policy.",
    ),
    deferred_recipient_rule(
        name="recipient-over-limit",
        responsible=Responsible.RECEIVER,
        phases=TRANSACTION,
        codes=REFUSALS,
        statuses=enhanced("5.2.121", "5.2.122"),
        source=sources.NON_DELIVERY,
        delay=HOUR,
        summary="The recipient's mailbox has received too much within the hour.",
        fix=NOTHING,
    ),
    _undeliverable(
        name="unknown-recipient",
        responsible=Responsible.ADDRESS,
        statuses=enhanced("5.1.1", "5.1.10", "5.4.1"),
        lockout_class="invalid-recipient",
        summary="The recipient does not exist, or its domain does not accept mail for it.",
        fix=CORRECT_ADDRESS,
    ),
    _undeliverable(
        name="recipient-policy",
        responsible=Responsible.RECEIVER,
        statuses=enhanced("5.7.1", "5.7.12", "5.7.13", "5.7.124", "5.7.133", "5.7.134", "5.7.135", "5.7.136"),
        summary="A rule of your own or of the recipient's organization forbids this message.",
        fix="Ask your administrator for the mail flow rules (https://admin.exchange.microsoft.com, Mail flow, Rules), "
        "and the recipient's administrator whether mail from you is allowed.",
    ),
    _undeliverable(
        name="refused-by-recipient",
        responsible=Responsible.RECEIVER,
        statuses=enhanced("5.7.504", "5.7.505", "5.7.507", "5.7.513"),
        text=("using customer block list",),
        summary="The recipient's organization refuses this address or mail from this sender.",
        fix="Check the address, and ask the recipient's administrator whether mail from you is allowed.",
    ),
    _undeliverable(
        name="authentication-of-domain",
        statuses=enhanced("5.7.509"),
        summary="The recipient refuses mail whose sender's domain fails its own DMARC policy.",
        fix="Set up DKIM for the domain: https://security.microsoft.com, Email authentication settings, DKIM; and let "
        "its SPF record include spf.protection.outlook.com.",
    ),
    _undeliverable(
        name="routing-fault",
        responsible=Responsible.RECEIVER,
        statuses=enhanced("5.4.6", "5.4.14", "5.4.300"),
        summary="Exchange could not route the message to the recipient's domain: there is a mail loop, or no server "
        "accepts it.",
        fix="Check the recipient's domain for a typing error. If it is your own, check its MX record and the "
        "connectors at https://admin.exchange.microsoft.com, Mail flow.",
    ),
    deferred_message_rule(
        name="expired-on-the-way",
        responsible=Responsible.RECEIVER,
        phases=TRANSACTION,
        codes=range(400, 500),
        statuses=enhanced("4.4.7"),
        source=sources.NON_DELIVERY,
        summary="Exchange could not reach the next server in time.",
        fix=NOTHING,
    ),
)
