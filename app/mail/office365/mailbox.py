"""Rules for replies about the sending mailbox (rate, quota, full, blocked, unlicensed) and its organization's queue.

The mailbox or tenant waits after each, although many have a 5yz code; only `recipient-mailbox` fails a recipient.
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import RUN_GRANT, STORE_NO_COPIES, TICK_LICENSE, UNBLOCK
from app.mail.office365.limits import RECIPIENTS_PER_DAY
from app.mail.outcome.attempt import Phase
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.rule import (
    MESSAGE,
    REFUSALS,
    TRANSACTION,
    Rule,
    enhanced,
    failed_recipient_rule,
    mailbox_rule,
    tenant_rule,
)
from app.mail.outcome.verdict import Confidence, Explanation, LoginMethod
from app.mail.times import DAY, HOUR, MINUTE

_SENDING = MESSAGE | {Phase.MAIL}
_EMPTY = numbered(
    "Empty the mailbox's Sent Items and Deleted Items, in Outlook or by a retention policy.",
    f"Exchange stores a copy of every email that Postern sends. To stop that, {STORE_NO_COPIES}",
)
_DAILY = (
    f"Nothing to do: the limit is {RECIPIENTS_PER_DAY:,} recipients in any 24 hours, and Postern tries again every "
    "hour. If it happens often, add a second mailbox, or check which other programs send through this one."
)

_SPAM_AGAIN = (
    "If it happens again, find the application whose mail looks like spam (https://security.microsoft.com, Explorer or "
    "Message trace) and stop it."
)
_QUOTA = ("submissionquotaexceeded", "submission quota was exceeded", "submission quota exceeded")

_waits = partial(mailbox_rule, phases=_SENDING, codes=range(500, 600))
_judged_spam = partial(_waits, confidence=Confidence.MEDIUM, source=sources.LOG)
_SPAM = ("outboundspamexception", "wascl useraction verdict")

_LIMITS: tuple[Rule, ...] = (
    mailbox_rule(
        name="concurrent-connections",
        phases=TRANSACTION,
        codes=(432,),
        statuses=enhanced("4.3.2"),
        text=("concurrent connections limit exceeded", "sender thread limit exceeded"),
        text_fallback=("concurrent connections limit", "sender thread limit"),
        pause=5.0,
        reduce_concurrency=True,
        summary="More than three connections were sending through this mailbox at the same time.",
        fix="Nothing to do: Postern continues with fewer connections. If other programs send through the same mailbox, "
        "give each its own, or lower POSTERN_CONNECTIONS.",
        source=sources.CONCURRENCY,
        confidence=Confidence.HIGH,
    ),
    mailbox_rule(
        name="mailbox-logon-failure",
        phases=TRANSACTION,
        codes=range(400, 600),
        text=("mapiexceptionlogonfailed", "mailbox logon failure"),
        pause=300.0,
        summary="The login worked, but the OAuth app has no right to open the mailbox, or Microsoft is moving the "
        "mailbox.",
        fix=numbered(
            "Wait an hour: Postern tries again automatically, and Microsoft may be moving the mailbox.",
            f"{RUN_GRANT}. The <object-id> is the one under Enterprise applications at https://entra.microsoft.com.",
        ),
        by_login={
            LoginMethod.PASSWORD: Explanation(
                "The login worked, but the mailbox cannot be opened: Microsoft may be moving it.",
                "Nothing to do: Postern tries again automatically. If it lasts for more than an hour, see Health, "
                "Service health at https://admin.microsoft.com.",
            )
        },
        source="email-oauth2-proxy #271",
        confidence=Confidence.MEDIUM,
    ),
    _waits(
        name="submission-quota",
        phases=TRANSACTION,
        statuses=enhanced("5.2.0", "5.2.2"),
        any_of=_QUOTA,
        text=_QUOTA,
        pause=HOUR,
        summary="The mailbox has reached its daily limit of recipients.",
        fix=_DAILY,
        source=sources.CONCURRENCY,
        confidence=Confidence.HIGH,
    ),
    _waits(
        name="daily-recipient-limit",
        phases=TRANSACTION,
        statuses=enhanced("5.1.90"),
        text=("daily limit for message recipients",),
        pause=HOUR,
        summary="The mailbox has reached its daily limit of recipients.",
        fix=_DAILY,
        source=sources.NON_DELIVERY,
        confidence=Confidence.MEDIUM,
    ),
    failed_recipient_rule(
        name="recipient-mailbox",
        phases=_SENDING,
        codes=REFUSALS,
        statuses=enhanced("5.2.1", "5.2.2"),
        all_of=("storedrv.deliver",),
        none_of=("storedrv.submission",),
        summary="The recipient's mailbox is disabled or full.",
        fix="Ask the recipient's administrator to enable the mailbox or to free space in it, then retry the message.",
        source=sources.NON_DELIVERY,
    ),
    _waits(
        name="folder-full",
        exception=("messageperfoldercountquotaexceeded",),
        pause=HOUR,
        lockout_class="mailbox-full",
        summary="A folder of the mailbox has reached its limit of messages, most likely Sent Items.",
        fix=_EMPTY,
        source="support.servicenow.com KB0751248",
        confidence=Confidence.MEDIUM,
    ),
    _waits(
        name="mailbox-full",
        statuses=enhanced("5.2.2", "5.2.0"),
        any_of=("mailbox full", "aka.ms/mailboxfull", "shutoffquotaexceeded", "mapiexceptionquotaexceeded"),
        pause=HOUR,
        lockout_class="mailbox-full",
        summary="The sending mailbox is full, most likely with the copies in Sent Items.",
        fix=_EMPTY,
        source=sources.CONCURRENCY,
        confidence=Confidence.HIGH,
    ),
    _waits(
        name="mailbox-disabled",
        statuses=enhanced("5.2.1", "5.2.0"),
        any_of=(
            "mailbox disabled",
            "mailboxdisabled",
            "mailbox cannot be accessed",
            "accountdisabled",
            "mailboxunavailableexception",
            "account disabled",
            "account is disabled",
        ),
        text=("mailbox disabled; storedrv.submission", "storedrv.submission.exception:accountdisabled"),
        pause=HOUR,
        hold=True,
        summary="The sending mailbox is disabled.",
        fix="Open https://admin.microsoft.com, Users, Active users, the mailbox: sign-in must be allowed, and under "
        "Licenses and apps an Exchange Online license must be ticked. A mailbox that was deleted must be restored.",
        source=sources.LOG,
        confidence=Confidence.MEDIUM,
    ),
    _waits(
        name="mailbox-license",
        all_of=("storedrv", "license"),
        pause=HOUR,
        hold=True,
        lockout_class="license",
        summary="Exchange finds no valid license for the mailbox.",
        fix=TICK_LICENSE,
        source=sources.CONTINUOUS_ERRORS,
    ),
)

# One reply may contain several verdict words: the most serious comes first.
_OUTBOUND_SPAM: tuple[Rule, ...] = (
    _judged_spam(
        name="outbound-spam-suspended",
        statuses=enhanced("5.2.0"),
        any_of=("verdict is suspend", "hipsend", "hipnotify"),
        exception=("outboundspam",),
        pause=HOUR,
        hold=True,
        summary="Microsoft has classified the mailbox's mail as spam and suspended it.",
        fix=UNBLOCK,
    ),
    _judged_spam(
        name="outbound-spam-quota",
        statuses=enhanced("5.2.0"),
        any_of=("refusequota",),
        exception=("outboundspam",),
        pause=DAY,
        summary="Microsoft has reduced the mailbox's sending quota, because its mail looks like spam or the account is "
        "new.",
        fix="Nothing to do: Postern tries again automatically after a day. Trial and personal accounts have small "
        f"quotas; a paid license with Exchange Online has more. {_SPAM_AGAIN}",
    ),
    _judged_spam(
        name="outbound-spam-tier",
        statuses=enhanced("5.2.0"),
        any_of=("showtierupgrade",),
        exception=("outboundspam",),
        pause=HOUR,
        hold=True,
        summary="Microsoft requires a higher license for this amount of mail.",
        fix="Open https://admin.microsoft.com, Users, Active users, the mailbox, Licenses and apps, and give it a paid "
        "Exchange Online license. A personal Outlook.com account asks for a verification in its own inbox.",
    ),
    _judged_spam(
        name="outbound-spam-throttled",
        statuses=enhanced("5.2.0"),
        any_of=("throttle", "transienterror"),
        exception=("outboundspam",),
        pause=15 * MINUTE,
        reduce_concurrency=True,
        summary="Microsoft slows the mailbox down, because its mail looks like spam.",
        fix=f"Nothing to do now: Postern waits 15 minutes and then sends more slowly. {_SPAM_AGAIN}",
    ),
    _judged_spam(
        name="outbound-spam",
        any_of=_SPAM,
        pause=HOUR,
        hold=True,
        summary="Microsoft has classified the mailbox's mail as spam.",
        fix=UNBLOCK,
    ),
)

_ORGANIZATION: tuple[Rule, ...] = (
    tenant_rule(
        name="organization-queue-full",
        phases=TRANSACTION,
        codes=range(400, 600),
        text=("organization queue quota exceeded",),
        pause=300.0,
        summary="Too much of your organization's mail is waiting at Microsoft.",
        fix="Nothing to do: Postern tries again every few minutes. The waiting mail is shown at "
        "https://admin.exchange.microsoft.com, Reports, Mail flow.",
        source=sources.RESPONSES,
    ),
)

RULES: tuple[Rule, ...] = (*_LIMITS, *_OUTBOUND_SPAM, *_ORGANIZATION)
