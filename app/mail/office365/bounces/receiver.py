"""Rules for bounces by the recipient's side: the state and limits of one mailbox, the policy of the organization, and
the state of its servers.
"""

from app.mail.office365 import sources
from app.mail.office365.bounces.constructors import (
    AGAIN,
    AGAIN_IF_BOUNCED,
    ASK,
    SERVER,
    deferred_receiver_rule,
    receiver_rule,
)
from app.mail.outcome.rule import between, enhanced
from app.mail.outcome.verdict import Confidence

_CHECK_MAILBOX = "Send it again later. If it bounces again, ask the recipient's administrator to check the mailbox."
_SMALLER = "Send a smaller email, for instance a link instead of an attachment."

_MAILBOX = (
    deferred_receiver_rule(
        name="bounced-recipient-mailbox-full",
        statuses=enhanced("4.2.2", "5.2.2"),
        none_of=("submission", "sender"),
        text=("storedrv.deliver.exception:quotaexceeded",),
        text_fallback=("mailbox full", "mailbox is full", "over quota"),
        summary="The recipient's mailbox is full.",
        fix="Ask the recipient to free space in the mailbox, then send the email again.",
        source=sources.RFC_3463,
    ),
    deferred_receiver_rule(
        name="bounced-recipient-over-limit",
        statuses=enhanced("4.2.121", "4.2.122", "5.2.121", "5.2.122"),
        text=("per hour message receive limit", "recipient has exceeded their limit", "receiving mail at a rate"),
        summary="The recipient's mailbox has received too much within the hour, from you or from all.",
        fix="Send the email again after an hour, and send fewer emails to this address: one mailbox accepts 3,600 an "
        "hour, a third of them from one sender.",
    ),
    deferred_receiver_rule(
        name="bounced-recipient-busy",
        statuses=enhanced("4.3.2"),
        any_of=("recipient thread limit",),
        text=("recipient thread limit exceeded",),
        summary="The recipient's mailbox receives too much at once.",
        fix=AGAIN_IF_BOUNCED,
    ),
    receiver_rule(
        name="bounced-over-recipient-size",
        statuses=enhanced("5.2.3"),
        none_of=("sendsizelimit", "sender"),
        text=("recipsizelimit", "message too large for this recipient"),
        summary="The email is larger than the recipient's mailbox accepts.",
        fix=_SMALLER,
        source=sources.EXCHANGE_REPORTS,
    ),
    receiver_rule(
        name="bounced-over-server-size",
        statuses=enhanced("5.3.4"),
        none_of=("header size",),
        text=("message too big for system",),
        summary="The email is larger than a server on its way accepts.",
        fix=_SMALLER,
        source=sources.RFC_3463,
    ),
    receiver_rule(
        name="bounced-quarantined-by-filter",
        statuses=enhanced("5.2.1"),
        any_of=("quarantine",),
        text=("content filter agent quarantined",),
        summary="The recipient's content filter has put the email into its quarantine.",
        fix=ASK,
        source=sources.EXCHANGE_REPORTS,
    ),
    receiver_rule(
        name="bounced-mailbox-unusable",
        statuses=enhanced("5.2.0", "5.2.1", "5.3.2"),
        any_of=("storedrv.deliver", "mailbox cannot be accessed"),
        none_of=("storedrv.submission",),
        summary="The recipient's mailbox cannot accept the email: it is disabled, being moved or damaged.",
        fix=_CHECK_MAILBOX,
        source=sources.EXCHANGE_REPORTS,
        confidence=Confidence.MEDIUM,
    ),
    receiver_rule(
        name="bounced-mailbox-status",
        statuses=enhanced("4.2.0", "4.2.1", "5.2.0"),
        none_of=("storedrv.submission",),
        summary="The recipient's mailbox did not accept the email.",
        fix=_CHECK_MAILBOX,
        source=sources.RFC_3463,
        confidence=Confidence.LOW,
    ),
    receiver_rule(
        name="bounced-list-expansion",
        statuses=enhanced("5.2.4"),
        summary="The recipient is a mailing list that its server could not expand.",
        fix=SERVER,
        source=sources.RFC_3463,
    ),
    receiver_rule(
        name="bounced-forwarding-address",
        statuses=enhanced("5.2.14"),
        summary="The recipient's mailbox forwards to an address that is wrong.",
        fix="Only the recipient or its administrator can correct the forwarding. Use another address until then.",
        source=sources.EXCHANGE_REPORTS,
    ),
)

_POLICY = (
    receiver_rule(
        name="bounced-internal-only",
        statuses=enhanced(
            "5.7.12", "5.7.13", "5.7.124", "5.7.129", "5.7.133", "5.7.134", "5.7.135", "5.7.136", "5.7.193"
        ),
        text=("sendernotauthenticated", "sender was not authenticated", "sender not authenticated for", "restrictedto"),
        summary="The recipient (a group, a mailbox or an organization) accepts mail only from its own members or from "
        "a list of senders.",
        fix="Ask the owner of the group, or the recipient's administrator, to allow mail from outside or from you.",
    ),
    receiver_rule(
        name="bounced-data-loss-prevention",
        statuses=enhanced("5.7.171"),
        summary="A rule against data loss (DLP) refused the email: of your organization, if its trace names a policy.",
        fix="Look at the rule in the email's message trace (https://admin.exchange.microsoft.com, Mail flow), remove "
        "the data that it protects from the email, or change the rule.",
        source=sources.TRACE,
        confidence=Confidence.MEDIUM,
    ),
    receiver_rule(
        name="bounced-mail-flow-rule",
        statuses=between("5.7.900", "5.7.999"),
        text=("transport.rules.rejectmessage",),
        summary="A mail flow rule of your own or of the recipient's organization refused the email.",
        fix="Look at your own rules (https://admin.exchange.microsoft.com, Mail flow, Rules): message trace names the "
        f"rule that matched. If it is none of them: {ASK}",
        source=sources.EXCHANGE_RULES,
    ),
    receiver_rule(
        name="bounced-authentication-required",
        statuses=enhanced("5.7.3", "5.7.57"),
        text=("client was not authenticated", "client not authenticated", "authentication required"),
        summary="The recipient's server accepts no mail without a login: the MX record or a connector names the wrong "
        "host.",
        fix=f"{SERVER} If the domain is your own, check its MX record and the connectors at "
        "https://admin.exchange.microsoft.com, Mail flow.",
    ),
    receiver_rule(
        name="bounced-partner-connector",
        statuses=enhanced("5.7.51"),
        text=("restrictdomainstoipaddresses", "restrictdomainstocertificate"),
        summary="The recipient's organization accepts mail from this domain only from a certain IP address or "
        "certificate.",
        fix=f"{ASK} Its connector for partners must allow mail of your domain from Office 365.",
        source=sources.EXCHANGE_REPORTS,
        confidence=Confidence.MEDIUM,
    ),
    receiver_rule(
        name="bounced-no-relay",
        statuses=enhanced("5.7.54", "5.7.64", "5.7.367", "5.7.368"),
        text=("unable to relay", "relay access denied", "relaying denied", "not permitted to relay"),
        summary="The server that the recipient's domain names accepts no mail for it.",
        fix="Check the domain for a typing error. Otherwise its owner must correct the MX record, or the server's list "
        "of domains; if the domain is your own, check the connectors at https://admin.exchange.microsoft.com, Mail "
        "flow.",
    ),
    receiver_rule(
        name="bounced-by-policy",
        statuses=enhanced("5.0.350"),
        any_of=("policy violation",),
        summary="The recipient's server refuses the email by its policy, often because of an attachment inside an "
        "attachment.",
        fix=f"Send it without attached emails or archives. {ASK}",
    ),
    receiver_rule(
        name="bounced-by-remote-server",
        statuses=enhanced("5.0.0", "5.0.350", "5.5.0"),
        summary="The recipient's server refuses the email without a code of its own; the reply has the reason.",
        fix=f"Read the reason in the reply. {ASK}",
    ),
    receiver_rule(
        name="bounced-customer-blocks",
        statuses=between("5.7.504", "5.7.513") - enhanced("5.7.508", "5.7.509", "5.7.512"),
        text=("using customer block list", "access denied, rejected by recipient"),
        summary="The recipient's organization refuses mail from this sender or from its IP address.",
        fix=ASK,
    ),
    receiver_rule(
        name="bounced-not-authorized",
        statuses=enhanced("4.7.0", "4.7.1", "5.7.0", "5.7.1"),
        text_fallback=("delivery not authorized",),
        none_of=("block list", "blocked using", "spamhaus", "blacklist", "spam"),
        summary="A rule of your own or of the recipient's organization forbids this email.",
        fix="Look at your own rules (https://admin.exchange.microsoft.com, Mail flow, Rules). If it is none of them: "
        f"{ASK}",
    ),
    receiver_rule(
        name="bounced-tenant-without-mail",
        statuses=enhanced("4.4.4", "5.4.4"),
        any_of=("no mail-enabled subscriptions",),
        text=("hosted tenant which has no mail-enabled subscriptions",),
        summary="The recipient's organization at Microsoft has no licence for mail any more.",
        fix=SERVER,
        source=sources.EXCHANGE_REPORTS,
        confidence=Confidence.MEDIUM,
    ),
    receiver_rule(
        name="bounced-journaling",
        statuses=enhanced("5.3.190"),
        summary="An organization journals to Office 365 without having Journaling Archive there.",
        fix=SERVER,
    ),
)

_SERVER = (
    deferred_receiver_rule(
        name="bounced-server-loaded",
        statuses=enhanced("4.3.0", "4.3.1", "5.3.1", "4.5.3", "4.7.500", "4.7.652", "4.7.700"),
        text=("pfa agent busy", "has exceeded the maximum number of connections"),
        summary="The receiving server has no capacity for the email at the moment, or limits this sender.",
        fix=AGAIN_IF_BOUNCED,
    ),
    receiver_rule(
        name="bounced-server-setup",
        statuses=enhanced("5.3.0", "5.3.3", "5.3.5", "5.4.0", "5.5.2"),
        summary="A server on the way is set up wrongly, or found the email damaged.",
        fix=f"{SERVER} {AGAIN}",
        source=sources.EXCHANGE_REPORTS,
        confidence=Confidence.MEDIUM,
    ),
    deferred_receiver_rule(
        name="bounced-no-mail-service",
        statuses=enhanced("4.3.2", "5.3.2"),
        summary="The recipient's server accepts no mail at the moment.",
        fix=f"{SERVER} {AGAIN}",
        source=sources.RFC_3463,
    ),
)

RULES = (*_MAILBOX, *_POLICY, *_SERVER)
