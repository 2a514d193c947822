"""Verdict of every reply and failure; a fault beyond the message never fails it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import policy
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase, Reply
from app.mail.outcome.rule import AUTH, BEFORE_AUTH, TRANSACTION
from app.mail.outcome.verdict import Action, Scope
from app.mail.policy import judge, judge_failure, judge_reply
from tests.unit.mail.office365.texts import SAMPLES, Sample

TO = ("ada@example.net", "bob@example.net")


@pytest.mark.parametrize(
    ("phase", "line", "rule", "action", "scope"),
    [
        (Phase.DOT, "250 2.0.0 OK <id>", "relayed", Action.RELAYED, Scope.MESSAGE),
        (Phase.GREETING, "554 5.7.1 no", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.EHLO, "550 5.5.4 no", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.STARTTLS, "454 4.7.0 TLS not available", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.AUTH, "450 4.7.9 later", "login-deferred", Action.DEFER, Scope.MAILBOX),
        (Phase.AUTH, "535 5.7.8 Authentication credentials invalid", "login-refused", Action.DEFER, Scope.MAILBOX),
        (Phase.AUTH, "550 5.1.1 odd", "login-refused", Action.DEFER, Scope.MAILBOX),
        (Phase.MAIL, "530 5.5.1 log in first", "not-logged-in", Action.DEFER, Scope.MAILBOX),
        (Phase.DOT, "535 5.7.8 no longer logged in", "not-logged-in", Action.DEFER, Scope.MAILBOX),
        (Phase.MAIL, "451 4.3.0 later", "message-deferred", Action.DEFER, Scope.MESSAGE),
        (Phase.MAIL, "550 5.7.999 no", "message-refused", Action.FAIL, Scope.MESSAGE),
        (Phase.RCPT, "452 4.5.33 other", "recipient-deferred", Action.DEFER, Scope.RECIPIENT),
        (Phase.RCPT, "550 5.2.1 disabled", "recipient-refused", Action.FAIL, Scope.RECIPIENT),
        (Phase.DATA, "451 4.3.0 later", "message-deferred", Action.DEFER, Scope.MESSAGE),
        (Phase.DOT, "554 5.6.99 no", "message-refused", Action.FAIL, Scope.MESSAGE),
        (Phase.DOT, "421 4.3.0 closing", "closing", Action.DEFER, Scope.HOST),
        (Phase.MAIL, "250 odd", "out-of-turn", Action.DEFER, Scope.HOST),
    ],
)
def test_a_reply_without_a_rule_has_the_default_of_its_code(
    phase: Phase, line: str, rule: str, action: Action, scope: Scope
) -> None:
    """All but the ordinary success say that the text is unknown."""
    verdict = judge_reply(phase, Reply.of(int(line[:3]), [line[4:]]))
    assert (verdict.rule, verdict.action, verdict.scope) == (rule, action, scope)
    assert verdict.reply == line
    assert verdict.known == (rule == "relayed")


def test_every_default_is_used() -> None:
    """In the table above."""
    (mark,) = test_a_reply_without_a_rule_has_the_default_of_its_code.pytestmark  # type: ignore[attr-defined]  # pytest's
    assert {row[2] for row in mark.args[1]} == {rule.name for rule in policy.DEFAULTS}


# What Exchange says, cut to pieces, so that chance hits upon the rows.
WORDS = sorted({word for sample in SAMPLES for word in sample.line().split()})
TEXT = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
CODE = st.one_of(st.integers(0, 999), st.sampled_from([250, 334, 421, 430, 432, 451, 452, 501, 530, 535, 550, 554]))


@given(st.sampled_from(Phase), CODE, TEXT)
def test_every_reply_has_a_verdict_and_a_sentence(phase: Phase, code: int, text: str) -> None:
    """Only replies of the transaction can fail a message."""
    verdict = judge_reply(phase, Reply.of(code, [text]))
    assert verdict.explanation.summary
    assert verdict.explanation.fix
    assert verdict.action is not Action.FAIL or (phase in TRANSACTION and code // 100 == 5)
    assert verdict.action is not Action.RELAYED or (phase is Phase.DOT and code // 100 == 2)


@given(st.sampled_from(sorted(BEFORE_AUTH | AUTH)), st.sampled_from(SAMPLES), st.sampled_from(SAMPLES), st.booleans())
def test_before_the_transaction_nothing_fails_a_message(phase: Phase, one: Sample, other: Sample, both: bool) -> None:
    """The mailbox or the host rests for some time."""
    verdict = judge_reply(
        phase, Reply.of(int(one.line()[:3]), [one.line()[4:], other.line()] if both else [one.line()])
    )
    assert verdict.action is Action.DEFER
    assert verdict.scope.beyond_message
    assert verdict.pause > 0 or verdict.hold


@given(st.sampled_from(Phase), CODE, TEXT)
def test_a_fault_beyond_the_message_rests_mailbox_or_host(phase: Phase, code: int, text: str) -> None:
    """Otherwise attempts would repeat at once."""
    verdict = judge_reply(phase, Reply.of(code, [text]))
    rests = verdict.pause > 0 or verdict.hold
    assert rests == (verdict.action is Action.DEFER and verdict.scope.beyond_message)
    assert rests or not verdict.reduce_concurrency


@given(st.sampled_from(sorted(TRANSACTION)), st.sampled_from([530, 534, 535, 538]), TEXT)
def test_a_missing_login_never_fails_a_message(phase: Phase, code: int, text: str) -> None:
    """Also after the envelope or the content."""
    assert judge_reply(phase, Reply.of(code, [text])).action is Action.DEFER


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("phase", Phase)
def test_every_failure_has_a_verdict(phase: Phase, kind: FailureKind) -> None:
    """A missing reply is in doubt after the final dot only, and fails only a message with unmet requirements."""
    verdict = judge_failure(Failure(phase, kind, "why"))
    assert verdict.in_doubt == (phase is Phase.DOT)
    assert verdict.action is Action.DEFER or (phase, kind) == (Phase.MAIL, FailureKind.CAPABILITY)
    assert verdict.explanation.summary
    assert verdict.explanation.fix


def test_each_recipient_has_the_verdict_of_its_own_reply() -> None:
    """One refused at RCPT, the other relayed by the reply to the dot."""
    refused = {TO[0]: Reply.of(550, ["5.1.1 no such user"])}
    verdicts = judge(Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), None, refused), TO)
    assert [verdicts[address].action for address in TO] == [Action.FAIL, Action.RELAYED]


def test_rule_names_are_unique_and_every_failure_kind_is_explained() -> None:
    """Names are stored with the attempts and counted."""
    names = [rule.name for rule in policy.RULES] + [f"no-reply-{kind}" for kind in FailureKind] + ["in-doubt"]
    assert len(names) == len(set(names))
    assert set(policy.WITHOUT_REPLY) == set(FailureKind)
