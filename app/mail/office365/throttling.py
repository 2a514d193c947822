"""Rules for lockouts of a mailbox after repeated errors. Nobody can end them early, and attempts may prolong them."""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import GRANT_SEND_AS, RAISE_RECIPIENT_LIMIT, STORE_NO_COPIES, TICK_LICENSE
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.rule import AUTH, TRANSACTION, Rule, enhanced, mailbox_rule
from app.mail.outcome.verdict import Confidence
from app.mail.times import DAY

_WAIT = (
    "Wait: Microsoft ends the lockout, usually within a day; its support cannot shorten it. Another mailbox can send "
    "meanwhile."
)

_locked_out = partial(
    mailbox_rule,
    phases=AUTH | TRANSACTION,
    codes=range(500, 600),
    pause=DAY,
    source=sources.CONTINUOUS_ERRORS,
    confidence=Confidence.HIGH,
)

RULES: tuple[Rule, ...] = (
    _locked_out(
        name="throttled-mailbox-full",
        statuses=enhanced("5.2.251"),
        text=("mailbox full errors",),
        summary="Exchange has locked the mailbox out of SMTP, because mail was sent from it although it was full.",
        fix=numbered(
            "Empty the mailbox's Sent Items and Deleted Items.",
            f"Store no copies of the mail that Postern sends: {STORE_NO_COPIES}",
            _WAIT,
        ),
    ),
    _locked_out(
        name="throttled-send-as-denied",
        statuses=enhanced("5.2.252"),
        all_of=("throttled", "send as denied"),
        text=("send as denied errors",),
        summary="Exchange has locked the mailbox out of SMTP, because it sent too often as an address it may not use.",
        fix=numbered(
            "Find the application that sends from an address of others (the failed emails name its key) and stop it, "
            f"or grant the right: {GRANT_SEND_AS}",
            _WAIT,
        ),
    ),
    _locked_out(
        name="throttled-invalid-license",
        statuses=enhanced("5.2.253"),
        text=("invalid license errors",),
        summary="Exchange has locked the mailbox out of SMTP, because it has no valid license.",
        fix=numbered(TICK_LICENSE, _WAIT),
    ),
    _locked_out(
        name="throttled-too-many-recipients",
        statuses=enhanced("5.2.254"),
        text=("too many recipients errors",),
        summary="Exchange has locked the mailbox out of SMTP, because messages had too many recipients many times.",
        fix=numbered(
            "Let the application send to fewer recipients at once, or raise the mailbox's limit: "
            f"{RAISE_RECIPIENT_LIMIT}",
            _WAIT,
        ),
    ),
    _locked_out(
        name="throttled-invalid-recipients",
        statuses=enhanced("5.2.255"),
        text=("invalid recipients errors",),
        summary="Exchange has locked the mailbox out of SMTP, because of too many invalid recipient addresses.",
        fix=numbered(
            "Find the application that sends to wrong addresses (the failed emails name its key), and remove them from "
            "its list.",
            _WAIT,
        ),
    ),
    _locked_out(
        name="throttled-continuous-errors",
        text=("sender throttled due to continuous",),
        all_of=("sender throttled due to continuous",),
        summary="Exchange has locked the mailbox out of SMTP, because of the same error many times.",
        fix=numbered("Read the error in the reply, and correct its cause in the application or in the mailbox.", _WAIT),
    ),
)
