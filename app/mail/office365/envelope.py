"""Rules for replies about the envelope: permitted senders, recipients and amounts.

Some hold or pause the mailbox: a missing login or Send As right, and the submission rate.
"""

from app.mail.office365 import sources
from app.mail.office365.fixes import CORRECT_ADDRESS, NOTHING, RAISE_RECIPIENT_LIMIT, SEND_AS, SMTP_AUTH_ON
from app.mail.outcome.attempt import Phase
from app.mail.outcome.rule import (
    AUTH,
    LOGIN_CODES,
    MESSAGE,
    REFUSALS,
    TRANSACTION,
    Rule,
    deferred_message_rule,
    deferred_recipient_rule,
    enhanced,
    failed_message_rule,
    failed_recipient_rule,
    mailbox_rule,
)
from app.mail.outcome.verdict import Confidence

_MAIL = frozenset({Phase.MAIL})
_RCPT = frozenset({Phase.RCPT})
_NO_RIGHT = (
    "permissions to send as this sender",
    "permission to send as this sender",
    "permissions to send on behalf of",
    "permission to send on behalf of",
    "permissions to send as the sender",
    "permission to send as the sender",
)

RULES: tuple[Rule, ...] = (
    mailbox_rule(
        name="not-authenticated",
        phases=AUTH | TRANSACTION,
        codes=range(500, 600),
        statuses=enhanced("5.7.57"),
        text=(
            "client was not authenticated",
            "client not authenticated",
            "not authenticated to send",
            "anonymous client",
            "authentication required",
        ),
        none_of=("resolver.", "delivery restriction", "sender was not authenticated"),  # of a group or a mailbox
        hold=True,
        summary="Office 365 does not treat the session as logged in, so it accepts no mail from it.",
        fix=SMTP_AUTH_ON,
        source=f"{sources.NOT_AUTHENTICATED}; {sources.FIX_APPLICATIONS}",
        confidence=Confidence.HIGH,
    ),
    mailbox_rule(
        name="submission-rate",
        phases=TRANSACTION,
        codes=range(400, 500),
        statuses=enhanced("4.4.2", "4.3.2"),
        any_of=("submission rate", "message limit", "rate limit"),
        text=("submission rate for this client has exceeded", "exceeded the message limit", "message rate limit"),
        pause=60.0,
        reduce_concurrency=True,
        summary="The mailbox has sent more messages in a minute than Exchange allows.",
        fix="Nothing to do: Postern waits a minute and then sends more slowly. If other programs send through the same "
        "mailbox, give each its own, or lower POSTERN_MESSAGES_PER_MINUTE.",
        source=f"{sources.RATE_LIMITS}; {sources.LOG}",
    ),
    failed_message_rule(
        name="no-send-as-right",
        phases=TRANSACTION,
        codes=REFUSALS,
        statuses=enhanced("5.7.60", "5.7.61"),
        text=_NO_RIGHT,
        lockout_class="send-as-denied",
        summary="The mailbox may not send as this From address.",
        fix=SEND_AS,
        source=f"{sources.FIX_APPLICATIONS}; {sources.RESPONSES}",
        confidence=Confidence.HIGH,
    ),
    mailbox_rule(
        name="no-send-as-login",
        phases=AUTH | TRANSACTION,
        codes=LOGIN_CODES,
        statuses=enhanced("5.7.60", "5.7.61"),
        text=_NO_RIGHT,
        hold=True,
        summary="The server requires a login that may send as this From address.",
        fix=SEND_AS,
        source=sources.RESPONSES,
    ),
    failed_message_rule(
        name="invalid-sender",
        phases=_MAIL,
        codes=(501, 550, 553),
        statuses=enhanced("5.1.7"),
        text_fallback=("invalid address",),
        summary="The sender's address is not a valid address.",
        fix="Correct the From address in the application and send again.",
        source=sources.RFC_3463,
        confidence=Confidence.MEDIUM,
    ),
    deferred_recipient_rule(
        name="too-many-recipients",
        phases=_RCPT,
        codes=range(400, 500),
        statuses=enhanced("4.5.3"),
        text_fallback=("too many recipients",),
        delay=0.0,
        summary="Exchange accepts no more recipients in one transaction; Postern sends to the others in the next one.",
        fix=f"Nothing to do. To allow more per message: {RAISE_RECIPIENT_LIMIT}",
        source=sources.RFC_5321_RECIPIENTS,
    ),
    deferred_message_rule(
        name="too-many-recipients-later",
        phases=_MAIL | MESSAGE,
        codes=range(400, 500),
        statuses=enhanced("4.5.3"),
        text_fallback=("too many recipients",),
        summary="Exchange does not accept so many recipients in one message at the moment.",
        fix=f"Send to fewer recipients at once, or raise the mailbox's limit: {RAISE_RECIPIENT_LIMIT}",
        source=sources.RFC_5321_RECIPIENTS,
    ),
    failed_message_rule(
        name="recipient-limit",
        phases=TRANSACTION,
        codes=(550, 554),
        statuses=enhanced("5.5.3"),
        text_fallback=("resolver.adr.reciplimit", "too many recipients"),
        lockout_class="too-many-recipients",
        summary="The message has more recipients than the mailbox may send to at once.",
        fix=f"Send to fewer recipients at once, or raise the mailbox's limit (at most 1000): {RAISE_RECIPIENT_LIMIT}",
        source=sources.RATE_LIMITS,
    ),
    failed_recipient_rule(
        name="invalid-recipient",
        phases=_RCPT,
        codes=(501, 550, 553),
        statuses=enhanced("5.1.3", "5.1.4", "5.1.5", "5.1.6"),
        text_fallback=("invalid address", "reserved by rfc 2606", "single label domain"),
        lockout_class="invalid-recipient",
        summary="The recipient's address is not one that Exchange can send to.",
        fix=CORRECT_ADDRESS,
        source=sources.RFC_3463,
        confidence=Confidence.MEDIUM,
    ),
    deferred_recipient_rule(
        name="recipient-busy",
        phases=TRANSACTION,
        codes=(432, 451, 452),
        statuses=enhanced("4.3.2"),
        any_of=("recipient thread limit",),
        summary="The recipient's mailbox is receiving too much at once.",
        fix=NOTHING,
        source=sources.NON_DELIVERY,
    ),
)
