"""Rules for replies about the message itself: sender, size, format; and for other replies of the store driver."""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import NOTHING, SEND_AS, powershell
from app.mail.outcome.attempt import Phase
from app.mail.outcome.rule import MESSAGE, REFUSALS, Rule, deferred_message_rule, enhanced, failed_message_rule
from app.mail.outcome.verdict import Confidence, Scope

_SENDING = MESSAGE | {Phase.MAIL}
_SMALLER = (
    "Send a smaller email, for instance a link instead of an attachment (encoding makes attachments a third larger), "
    "or raise the mailbox's limit: " + powershell("Set-Mailbox -Identity <mailbox> -MaxSendSize 150MB")
)
_OURS = (
    "The application cannot fix this: Postern wrote the message. Please report it with the reply and the email's id."
)

_fails = partial(failed_message_rule, phases=_SENDING, codes=REFUSALS)

RULES: tuple[Rule, ...] = (
    _fails(
        name="send-as-denied",
        statuses=enhanced("5.2.252", "5.2.0"),
        any_of=("sendasdenied", "not allowed to send as"),
        text=("sendasdenied;", "sendasdeniedexception"),
        lockout_class="send-as-denied",
        summary="The mailbox may not send as this From address.",
        fix=SEND_AS,
        source="vaultwarden #1008; notifuse #250; MailKit #1176",
        confidence=Confidence.HIGH,
    ),
    _fails(
        name="over-send-size",
        statuses=enhanced("5.2.0", "5.2.3"),
        exception=("maxsubmissionexceeded", "messagesubmissionexceeded"),
        text=("sendsizelimit.sender", "sendsizelimit.org", "message too large for this sender"),
        summary="The message is larger than this mailbox may send.",
        fix=_SMALLER,
        source="pm2-health #52",
        confidence=Confidence.MEDIUM,
    ),
    _fails(
        name="recipient-size-limit",
        scope=Scope.RECIPIENT,
        text=("recipsizelimit", "message too large for this recipient"),
        statuses=enhanced("5.2.3"),
        any_of=("recipient",),
        text_fallback=("recipsizelimit",),
        summary="The message is larger than a recipient's mailbox accepts.",
        fix="Send a smaller message, for instance a link instead of an attachment.",
        source=sources.RATE_LIMITS,
    ),
    _fails(
        name="header-too-large",
        statuses=enhanced("5.3.4"),
        any_of=("header size",),
        text=("header size exceeds fixed maximum",),
        summary="The message's header is too large, most likely because of very many recipients or custom headers.",
        fix="Send to fewer recipients at once, or use fewer and shorter custom headers.",
        source="MailKit #904",
        confidence=Confidence.MEDIUM,
    ),
    _fails(
        name="too-large",
        statuses=enhanced("5.3.4", "5.2.3"),
        text=("message size exceeds fixed maximum",),
        text_fallback=("message size exceeds",),
        summary="The message is larger than Exchange accepts.",
        fix=_SMALLER,
        source=sources.RATE_LIMITS,
        confidence=Confidence.HIGH,
    ),
    deferred_message_rule(
        name="store-transient",
        phases=_SENDING,
        codes=range(400, 600),
        all_of=("storedrv",),
        exception=("transient", "throttl"),
        summary="The server that holds the mailbox has a temporary fault, whatever the reply code is.",
        fix=NOTHING,
        source="email-oauth2-proxy #271",
    ),
    deferred_message_rule(
        name="back-end-fault",
        phases=_SENDING,
        codes=(451,),
        statuses=enhanced("4.3.111"),
        summary="The server that holds the mailbox has a temporary fault.",
        fix=NOTHING,
        source="datalust #101",
        confidence=Confidence.MEDIUM,
    ),
    deferred_message_rule(
        name="front-end-proxy-failed",
        phases=_SENDING | {Phase.RCPT},
        codes=range(400, 600),
        text=("proxy session setup failed on frontend",),
        summary="Office 365 could not pass the session on to the server that holds the mailbox.",
        fix=NOTHING,
        source=sources.RESPONSES,
    ),
    _fails(
        name="several-from-addresses",
        statuses=enhanced("5.1.20"),
        text=("multiple from addresses",),
        summary="The message has several From addresses and no Sender.",
        fix="Set exactly one From address.",
        source=sources.NON_DELIVERY,
        confidence=Confidence.HIGH,
    ),
    _fails(
        name="bare-line-feeds",
        statuses=enhanced("5.6.11"),
        text=("bare linefeeds",),
        summary="The message has line ends that SMTP does not allow (bare line feeds).",
        fix=_OURS,
        source=sources.NON_DELIVERY,
        confidence=Confidence.HIGH,
    ),
    _fails(
        name="from-header",
        statuses=enhanced("5.7.512"),
        text=("rfc 5322 section 3.6.2",),
        summary="Exchange finds no valid From header in the message.",
        fix="Set exactly one From address. If there is one already, please report this with the email's id.",
        source=sources.NON_DELIVERY,
        confidence=Confidence.HIGH,
    ),
    _fails(
        name="invalid-content",
        statuses=enhanced("5.6.0"),
        text=("invalid message content", "conversionfailedexception"),
        summary="Exchange cannot read the message's structure or one of its attachments.",
        fix="Send it again without attachments. If that works, add them one by one to find the damaged one. If it "
        "does not, please report it with the email's id.",
        source=sources.NON_DELIVERY,
        confidence=Confidence.MEDIUM,
    ),
    deferred_message_rule(
        name="store-deferred",
        phases=_SENDING,
        codes=range(400, 500),
        all_of=("storedrv",),
        summary="The server that holds the mailbox does not accept the message at the moment.",
        fix=NOTHING,
        source="email-oauth2-proxy #271",
    ),
    _fails(
        name="store-refused",
        all_of=("storedrv",),
        summary="The server that holds the mailbox refuses the message permanently; the reply names the exception.",
        fix="Search the web for the exception's name in the reply (the word that ends in Exception), fix the cause "
        "and retry the message.",
        source="vaultwarden #1008; pm2-health #52",
    ),
)
