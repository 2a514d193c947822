"""Faults of the sender's tenant, mailbox or endpoint defer the mail and never fail it, in any form of reply."""

import pytest

from app.mail import office365
from app.mail.outcome.attempt import Phase, Reply
from app.mail.outcome.rule import ENVELOPE, LOGIN_CODES, MESSAGE, between
from app.mail.outcome.verdict import Action, Scope, Verdict
from app.mail.policy import judge_reply
from tests.unit.mail.office365 import sender_texts
from tests.unit.mail.office365.texts import SAMPLES, Sample

PHASES = sorted(ENVELOPE | MESSAGE)
CODES = (550, 554, 530, 535)
ROWS = {rule.name: rule for rule in office365.RULES}
TRANSACTION_WIDE = [  # samples whose rows hold the tenant, the mailbox or the host at every point of a transaction
    sample
    for sample in (*sender_texts.SAMPLES, *SAMPLES)
    if sample.line()[0] == "5" and ROWS[sample.rule].scope.beyond_message and set(PHASES) <= ROWS[sample.rule].phases
]


def evaluated(phase: Phase, code: int, text: str) -> Verdict:
    """The verdict on a reply of one line."""
    return judge_reply(phase, Reply.of(code, [text]))


@pytest.mark.parametrize("detail", range(700, 750))
def test_the_whole_range_of_the_tenant_holds_the_tenant(detail: int) -> None:
    """5.7.700 to 5.7.749, with any code of class 5, in every phase, with any text."""
    for phase in (Phase.AUTH, *PHASES):
        for code in CODES:
            for words in ("Access denied, tenant has exceeded threshold [NAMPR01.PROD.OUTLOOK.COM]", "Access denied"):
                verdict = evaluated(phase, code, f"5.7.{detail} {words}")
                assert (verdict.action, verdict.scope) == (Action.DEFER, Scope.TENANT)
                assert (verdict.hold, verdict.pause, verdict.known) == (True, 3600.0, True)


@pytest.mark.parametrize("sample", TRANSACTION_WIDE, ids=lambda sample: sample.rule)
def test_the_code_and_the_phase_do_not_matter(sample: Sample) -> None:
    """550, 554, 530 and 535, at MAIL, RCPT, DATA and after the dot."""
    for code in {int(sample.line()[:3])} | (set(CODES) & set(ROWS[sample.rule].codes)):
        for phase in PHASES:
            verdict = evaluated(phase, code, sample.line()[4:])
            assert verdict.rule == sample.rule
            assert verdict.action is Action.DEFER


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.rule)
def test_a_text_takes_precedence_over_a_code(sample: Sample) -> None:
    """Also with a generic status, an unknown one, or one of another rule."""
    row = ROWS[sample.rule]
    text = " ".join(sample.line()[4:].lower().split())
    if not any(sentence in text for sentence in row.text):
        return
    head, _, words = sample.line().partition(" ")
    bare = words.split(" ", 1)[1] if words[0].isdigit() else words
    klass = head[0]
    for status in ("", f"{klass}.0.0 ", f"{klass}.7.1 ", f"{klass}.9.999 ", f"{klass}.7.133 ", f"{klass}.7.700 "):
        assert evaluated(sample.phase, int(head), status + bare).rule == sample.rule


def test_a_login_code_never_fails_a_message() -> None:
    """RFC 4954 §6: no failing rule lists one."""
    assert {
        rule.name for rule in office365.RULES if rule.action is Action.FAIL and set(rule.codes) & {*LOGIN_CODES}
    } == set()


@pytest.mark.parametrize(
    ("phase", "line", "rule", "action"),
    [
        (Phase.RCPT, "550 5.2.1 Mailbox disabled, not accepting messages", "recipient-refused", Action.FAIL),
        (Phase.RCPT, "552 5.2.3 Message size exceeds fixed maximum message size", "recipient-refused", Action.FAIL),
        (Phase.RCPT, "552 5.2.2 Mailbox full", "recipient-refused", Action.FAIL),
        (Phase.RCPT, "501 5.1.8 UTF-8 addresses not supported", "recipient-refused", Action.FAIL),
        (Phase.MAIL, "550 5.7.13 Sender was not authenticated for public folder", "recipient-policy", Action.FAIL),
        (Phase.RCPT, "550 5.7.1 Recipient not authorized", "recipient-policy", Action.FAIL),
        (
            Phase.DOT,
            "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction "
            "check failed because the sender was not authenticated when sending to this group",
            "recipient-policy",
            Action.FAIL,
        ),
        (Phase.DOT, "550 5.7.507 Access denied, rejected by recipient", "refused-by-recipient", Action.FAIL),
        (Phase.DOT, "550 5.7.699 Access denied", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.7.751 Access denied", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.7.70 Access denied", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.7.7000 Access denied", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.7.5 Cryptographic failure", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.2.1 Message deleted by the transport rules agent", "message-refused", Action.FAIL),
        (Phase.DOT, "550 5.7.520 Access denied, Your organization does not allow external forwarding. Please contact "
         "your administrator for further assistance. AS(7555)", "forwarding-forbidden", Action.FAIL),
        (Phase.DOT, "550 5.7.1 Message rejected as spam by Content Filtering.", "content-is-spam", Action.FAIL),
    ],
)  # fmt: skip
def test_similar_faults_of_recipient_and_message_fail(phase: Phase, line: str, rule: str, action: Action) -> None:
    """Neighbours of a range are not in it."""
    verdict = evaluated(phase, int(line[:3]), line[4:])
    assert (verdict.rule, verdict.action) == (rule, action)


@pytest.mark.parametrize(
    ("phase", "line", "scope", "pause", "hold"),
    [
        (Phase.MAIL, "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail", Scope.MAILBOX, 0.0, True),
        (Phase.MAIL, "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
         Scope.MAILBOX, 0.0, True),
        (Phase.DOT, "550 5.7.68 TenantInboundAttribution; Direct Send not allowed", Scope.HOST, 0.0, True),
        (Phase.RCPT, "554 5.7.68 TenantInboundAttribution; Direct Send not allowed", Scope.HOST, 0.0, True),
        (Phase.MAIL, "550 5.7.1 Direct Send not allowed for this organization", Scope.HOST, 0.0, True),
        (Phase.DOT, "554 5.2.1 mailbox disabled; STOREDRV.Submission.Exception:AccountDisabledException",
         Scope.MAILBOX, 3600.0, True),
        (Phase.DOT, "432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account",
         Scope.MAILBOX, 60.0, False),
        (Phase.DOT, "432 4.3.2 Concurrent connections limit exceeded.", Scope.MAILBOX, 5.0, False),
        (Phase.MAIL, "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing "
         "transmission channel", Scope.HOST, 5.0, False),
        (Phase.DOT, "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing "
         "transmission channel", Scope.HOST, 5.0, False),
        (Phase.GREETING, "421 4.3.2 The maximum number of concurrent connections has exceeded a limit",
         Scope.HOST, 5.0, False),
        (Phase.DOT, "550 5.2.254 Sender throttled due to continuous invalid recipients errors.",
         Scope.MAILBOX, 86_400.0, False),
    ],
)  # fmt: skip
def test_the_length_of_a_senders_rest(phase: Phase, line: str, scope: Scope, pause: float, hold: bool) -> None:
    """A minute for the message limit, some seconds for connections, a hold if an operator must act."""
    verdict = evaluated(phase, int(line[:3]), line[4:])
    assert (verdict.action, verdict.scope, verdict.pause, verdict.hold) == (Action.DEFER, scope, pause, hold)
    assert verdict.known


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("550 5.7.68 TenantInboundAttribution; Direct Send not allowed", "not the submission host"),
        ("554 5.7.520 Message blocked because it contains content identified as spam. AS(4810)", "spam"),
        ("552 5.2.3 Message size exceeds fixed maximum message size", "larger"),
        ("550 5.2.254 Sender throttled due to continuous invalid recipients errors.", "invalid recipient"),
        ("432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account", "messages in a minute"),
        ("421 4.3.2 The maximum number of concurrent connections has exceeded a limit", "connections"),
    ],
)
def test_the_explanation_names_the_cause_in_the_text(line: str, words: str) -> None:
    assert words in evaluated(Phase.DOT, int(line[:3]), line[4:]).explanation.summary


@pytest.mark.parametrize("code", [530, 535, 550, 554])
def test_a_named_cause_decides_with_any_code(code: int) -> None:
    """`5.7.57 ... Error: 535 5.7.139 ...` is that failed login."""
    text = "5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, the user "
    assert evaluated(Phase.MAIL, code, text + "credentials were incorrect. [X]").rule == "credentials-incorrect"


def test_a_range_within_one_subject_includes_both_ends() -> None:
    """One over two subjects is refused."""
    assert [str(status) for status in sorted(between("5.7.1", "5.7.3"))] == ["5.7.1", "5.7.2", "5.7.3"]
    for first, last in (("5.7.3", "5.7.1"), ("5.6.1", "5.7.3"), ("4.7.1", "5.7.3")):
        with pytest.raises(ValueError, match="not a range"):
            between(first, last)
