"""Meaning of the rules: deferral or failure, similar texts, and lockout classes."""

import pytest

from app.mail import office365
from app.mail.lifecycle import ActiveMessage, Event, RecipientState, settle
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.outcome.verdict import Action, Scope, Verdict
from app.mail.policy import judge, judge_reply
from tests.unit.mail.office365.texts import SAMPLES, Sample

STANDING = ActiveMessage(due_since=0.0, expires_at=432_000.0, on_unknown=OnUnknown.RETRY_ONCE, unknown_before=0)
ADA, BOB, EVE = "ada@example.net", "bob@example.net", "eve@example.net"
HOUR, DAY = 3600.0, 86_400.0


def evaluated(phase: Phase, line: str) -> Verdict:
    """The verdict on a reply of one line."""
    return judge_reply(phase, Reply.of(int(line[:3]), [line[4:]]))


def verdict_of(rule: str) -> Verdict:
    """The verdict on the first text of that row."""
    sample = next(sample for sample in SAMPLES if sample.rule == rule)
    return evaluated(sample.phase, sample.line())


WAITING = [sample for sample in SAMPLES if evaluated(sample.phase, sample.line()).scope.beyond_message]


@pytest.mark.parametrize("sample", WAITING, ids=lambda sample: sample.rule)
def test_a_fault_of_mailbox_tenant_or_host_defers(sample: Sample) -> None:
    """Without counting an attempt; the mailbox rests."""
    verdict = evaluated(sample.phase, sample.line())
    settlement = settle(STANDING, {ADA: verdict}, now=100.0, jitter=0.0)
    assert settlement.event is Event.GIVE_BACK
    assert settlement.recipients[ADA].state is RecipientState.PENDING
    assert verdict.pause > 0 or verdict.hold


@pytest.mark.parametrize(
    ("rule", "scope", "pause", "hold"),
    [
        ("submission-quota", Scope.MAILBOX, HOUR, False),
        ("daily-recipient-limit", Scope.MAILBOX, HOUR, False),
        ("mailbox-full", Scope.MAILBOX, HOUR, False),
        ("folder-full", Scope.MAILBOX, HOUR, False),
        ("mailbox-license", Scope.MAILBOX, HOUR, True),
        ("throttled-mailbox-full", Scope.MAILBOX, DAY, False),
        ("throttled-send-as-denied", Scope.MAILBOX, DAY, False),
        ("throttled-invalid-license", Scope.MAILBOX, DAY, False),
        ("throttled-too-many-recipients", Scope.MAILBOX, DAY, False),
        ("throttled-invalid-recipients", Scope.MAILBOX, DAY, False),
        ("account-locked", Scope.MAILBOX, 900.0, False),
        ("sts-unreachable", Scope.MAILBOX, 300.0, False),
        ("concurrent-connections", Scope.MAILBOX, 5.0, False),
        ("submission-rate", Scope.MAILBOX, 60.0, False),
        ("outbound-spam-throttled", Scope.MAILBOX, 900.0, False),
        ("outbound-spam-quota", Scope.MAILBOX, DAY, False),
        ("outbound-spam-suspended", Scope.MAILBOX, HOUR, True),
        ("outbound-spam-tier", Scope.MAILBOX, HOUR, True),
        ("mailbox-logon-failure", Scope.MAILBOX, 300.0, False),
        ("smtp-auth-disabled-tenant", Scope.MAILBOX, 0.0, True),
        ("smtp-auth-disabled-mailbox", Scope.MAILBOX, 0.0, True),
        ("security-defaults", Scope.MAILBOX, 0.0, True),
        ("conditional-access", Scope.MAILBOX, 0.0, True),
        ("basic-auth-disabled", Scope.MAILBOX, 0.0, True),
        ("credentials-incorrect", Scope.MAILBOX, 0.0, True),
        ("basic-auth-retired", Scope.MAILBOX, 0.0, True),
        ("authentication-unsuccessful", Scope.MAILBOX, 0.0, True),
        ("not-authenticated", Scope.MAILBOX, 0.0, True),
        ("token-expired", Scope.MAILBOX, 60.0, False),
        ("legacy-tls", Scope.HOST, 0.0, True),
        ("ehlo-name", Scope.HOST, 0.0, True),
        ("unrecognized-command", Scope.HOST, 5.0, False),
        ("session-timed-out", Scope.HOST, 1.0, False),
        ("tenant-external-limit", Scope.TENANT, HOUR, False),
        ("tenant-over-threshold", Scope.TENANT, HOUR, True),
        ("sender-restricted", Scope.MAILBOX, HOUR, True),
    ],
)
def test_the_length_of_rests(rule: str, scope: Scope, pause: float, hold: bool) -> None:
    """Seconds by Microsoft's windows; a hold if an operator must act."""
    verdict = verdict_of(rule)
    assert (verdict.action, verdict.scope, verdict.pause, verdict.hold) == (Action.DEFER, scope, pause, hold)


def test_only_rate_limits_reduce_concurrency() -> None:
    slow = {rule.name for rule in office365.RULES if rule.reduce_concurrency}
    assert slow == {"concurrent-connections", "submission-rate", "outbound-spam-throttled"}


def test_lockout_classes_are_counted() -> None:
    """The five classes of Microsoft's page on continuous errors; the lockouts themselves do not count."""
    counted = {rule.name: rule.lockout_class for rule in office365.RULES if rule.lockout_class}
    assert counted == {
        "send-as-denied": "send-as-denied",
        "no-send-as-right": "send-as-denied",
        "invalid-recipient": "invalid-recipient",
        "unknown-recipient": "invalid-recipient",
        "recipient-limit": "too-many-recipients",
        "mailbox-full": "mailbox-full",
        "folder-full": "mailbox-full",
        "mailbox-license": "license",
    }


@pytest.mark.parametrize("rule", ["send-as-denied", "no-send-as-right"])
def test_a_forbidden_sender_fails_its_own_message_only(rule: str) -> None:
    """The mailbox continues for others; the circuit breaker counts."""
    verdict = verdict_of(rule)
    assert (verdict.action, verdict.scope, verdict.lockout_class) == (Action.FAIL, Scope.MESSAGE, "send-as-denied")
    assert not verdict.pause
    assert not verdict.hold


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("554 5.2.252 SendAsDenied; a not allowed to send as b; STOREDRV.Submission.Exception:", "send-as-denied"),
        ("550 5.2.252 SendAsDenied; a not allowed to send as b; STOREDRV.Submission.Exception:", "send-as-denied"),
        ("550 5.2.252 Sender throttled due to continuous send as denied errors.", "throttled-send-as-denied"),
        ("550 Sender throttled due to continuous send as denied errors.", "throttled-send-as-denied"),
        ("554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", "send-as-denied"),
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "submission-quota"),
        ("554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", "mailbox-full"),
        ("550 5.2.2 Submission quota exceeded", "submission-quota"),
        ("432 4.3.2 Concurrent connections limit exceeded.", "concurrent-connections"),
        ("432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", "recipient-busy"),
        ("552 5.3.4 Header size exceeds fixed maximum size", "header-too-large"),
        ("552 5.3.4 Message size exceeds fixed maximum message size", "too-large"),
        ("421 4.4.2 Message submission rate for this client has exceeded the configured limit", "submission-rate"),
        ("421 4.4.2 Timeout waiting for client input", "session-timed-out"),
        ("550 5.7.1 Unable to relay", "unable-to-relay"),
        ("550 5.7.1 Not authorized", "recipient-policy"),
        ("550 5.7.30 Basic authentication is not supported for Client Submission.", "basic-auth-retired"),
        ("550 5.7.3 something", "message-refused"),
    ],
)
def test_similar_texts_have_different_rules(line: str, rule: str) -> None:
    """With the same code or word."""
    assert evaluated(Phase.DOT, line).rule == rule


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("StorageTransientException", Action.DEFER),
        ("ConnectionFailedTransientException.MapiExceptionNetworkError", Action.DEFER),
        ("ServerThrottledException", Action.DEFER),
        ("MapiExceptionThrottling", Action.DEFER),
        ("StoragePermanentException.MapiExceptionCorruptData", Action.FAIL),
        ("ObjectNotFoundException", Action.FAIL),
    ],
)
def test_the_exception_name_decides_whether_it_is_transient(name: str, action: Action) -> None:
    """Not the reply's code, and not a word elsewhere in the text."""
    text = f"STOREDRV.Submission.Exception:{name}; Failed to process message"
    assert evaluated(Phase.DOT, f"554 5.2.0 {text}").action is action
    assert evaluated(Phase.DOT, f"554 5.2.0 {text} with message transient, throttle").action is action
    assert evaluated(Phase.DOT, f"451 4.2.0 {text}").action is Action.DEFER


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("Suspend", "outbound-spam-suspended"),
        ("Suspend, Throttle", "outbound-spam-suspended"),
        ("Throttle, HipNotify", "outbound-spam-suspended"),
        ("RefuseQuota, Throttle", "outbound-spam-quota"),
        ("ShowTierUpgrade, Throttle", "outbound-spam-tier"),
        ("TransientError", "outbound-spam-throttled"),
        ("Unheard", "outbound-spam"),
    ],
)
def test_the_most_severe_spam_verdict_decides(words: str, rule: str) -> None:
    """Several may be in one reply, in any order."""
    line = f"554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Actual verdict is {words}. [Hostname=X]"
    assert evaluated(Phase.DOT, line).rule == rule


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.phase is Phase.AUTH], ids=lambda it: it.rule)
def test_a_530_at_mail_has_the_rule_of_its_cause(sample: Sample) -> None:
    """`530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 ...` is that failed login."""
    if not sample.line().startswith(("4", "5")):
        return
    line = f"530 5.7.57 Client not authenticated to send mail. Error: {sample.line()}"
    verdict = evaluated(Phase.MAIL, line)
    assert verdict.rule == sample.rule
    assert verdict.action is Action.DEFER
    assert verdict.reply == line


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.line()[:3] == "535"], ids=lambda it: it.rule)
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT])
def test_a_login_refusal_later_in_the_session_is_known(sample: Sample, phase: Phase) -> None:
    """It never fails the message."""
    assert evaluated(phase, sample.line()).rule == sample.rule


def test_recipients_beyond_the_limit_are_due_at_once() -> None:
    """RFC 5321 §4.5.3.1.10: the others go in the next transaction."""
    later = Reply.of(452, ["4.5.3 Too many recipients"])
    attempt = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused={BOB: later, EVE: later})
    settlement = settle(STANDING, judge(attempt, [ADA, BOB, EVE]), now=100.0, jitter=0.0)
    assert (settlement.event, settlement.due_at) == (Event.DEFER, 100.0)
    assert [settlement.recipients[it].state for it in (ADA, BOB, EVE)] == ["relayed", "pending", "pending"]


def test_too_many_recipients_with_none_accepted_are_delayed() -> None:
    """Else the attempts would repeat without end."""
    later = Reply.of(452, ["4.5.3 Too many recipients"])
    attempt = Attempt(Phase.RCPT, later, refused={ADA: later, BOB: later})
    settlement = settle(STANDING, judge(attempt, [ADA, BOB]), now=100.0, jitter=0.0)
    assert (settlement.event, settlement.due_at) == (Event.DEFER, 200.0)


def test_a_recipient_deferred_beside_too_many_is_delayed_by_age() -> None:
    refused = {BOB: Reply.of(452, ["4.5.3 Too many recipients"]), EVE: Reply.of(451, ["4.3.0 later"])}
    attempt = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused=refused)
    assert settle(STANDING, judge(attempt, [ADA, BOB, EVE]), now=100.0, jitter=0.0).due_at == 200.0


def test_a_recipient_over_its_hourly_limit_waits_an_hour() -> None:
    """A 5yz that is transient: the delay is at least the window."""
    refused = {BOB: Reply.of(550, ["5.2.121 Recipient's per hour message receive limit is exceeded"])}
    attempt = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused=refused)
    settlement = settle(STANDING, judge(attempt, [ADA, BOB]), now=100.0, jitter=0.0)
    assert (settlement.event, settlement.due_at) == (Event.DEFER, 100.0 + HOUR)
