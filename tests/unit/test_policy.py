"""The only judge: every reply and every failure has a verdict, and trouble beyond the message never fails it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import policy
from app.mail.attempt import Attempt, Failure, FailureKind, Phase
from app.mail.policy import judge, judge_failure, judge_reply
from app.mail.reply import Reply
from app.mail.rule import ENVELOPE, MESSAGE
from app.mail.verdict import Action, Scope

TO = ("ada@example.net", "bob@example.net")


@pytest.mark.parametrize(
    ("phase", "line", "rule", "action", "scope"),
    [
        (Phase.DOT, "250 2.0.0 OK <id>", "relayed", Action.RELAYED, Scope.MESSAGE),
        (Phase.GREETING, "554 5.7.1 no", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.EHLO, "501 5.5.4 Invalid domain name", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.STARTTLS, "454 4.7.0 TLS not available", "opening-refused", Action.DEFER, Scope.HOST),
        (Phase.AUTH, "451 4.7.0 Temporary server error", "login-deferred", Action.DEFER, Scope.MAILBOX),
        (Phase.AUTH, "535 5.7.3 Authentication unsuccessful", "login-refused", Action.DEFER, Scope.MAILBOX),
        (Phase.MAIL, "530 5.7.57 Client not authenticated", "not-logged-in", Action.DEFER, Scope.MAILBOX),
        (Phase.MAIL, "451 4.3.0 later", "message-deferred", Action.DEFER, Scope.MESSAGE),
        (Phase.MAIL, "552 5.3.4 too large", "message-refused", Action.FAIL, Scope.MESSAGE),
        (Phase.RCPT, "452 4.5.3 Too many recipients", "too-many-recipients", Action.DEFER, Scope.RECIPIENT),
        (Phase.RCPT, "452 4.5.33 other", "recipient-deferred", Action.DEFER, Scope.RECIPIENT),
        (Phase.RCPT, "550 5.1.1 no such user", "recipient-refused", Action.FAIL, Scope.RECIPIENT),
        (Phase.DATA, "451 4.3.0 later", "message-deferred", Action.DEFER, Scope.MESSAGE),
        (Phase.DOT, "554 5.6.0 Invalid message content", "message-refused", Action.FAIL, Scope.MESSAGE),
        (Phase.DOT, "421 4.3.2 Service not active", "closing", Action.DEFER, Scope.HOST),
        (Phase.MAIL, "250 odd", "out-of-turn", Action.DEFER, Scope.HOST),
    ],
)
def test_a_reply_is_judged_by_its_row(phase: Phase, line: str, rule: str, action: Action, scope: Scope) -> None:
    """The first rule that knows the reply decides."""
    verdict = judge_reply(phase, Reply.of(int(line[:3]), [line[4:]]))
    assert (verdict.rule, verdict.action, verdict.scope) == (rule, action, scope)
    assert verdict.reply == line


@given(st.sampled_from(Phase), st.integers(0, 999), st.text(max_size=40))
def test_every_reply_has_a_verdict_in_plain_words(phase: Phase, code: int, text: str) -> None:
    """Nothing is left unjudged, and only the transaction's own replies can fail a message."""
    verdict = judge_reply(phase, Reply.of(code, [text]))
    assert verdict.explanation.summary
    assert verdict.explanation.fix
    assert verdict.action is not Action.FAIL or phase in ENVELOPE | MESSAGE
    assert verdict.action is not Action.RELAYED or (phase is Phase.DOT and code // 100 == 2)


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("phase", Phase)
def test_every_failure_has_a_verdict(phase: Phase, kind: FailureKind) -> None:
    """A missing reply is in doubt after the final dot only, and never fails a message but for what it needs."""
    verdict = judge_failure(Failure(phase, kind, "why"))
    assert verdict.in_doubt == (phase is Phase.DOT)
    assert verdict.action is Action.DEFER or (phase, kind) == (Phase.MAIL, FailureKind.CAPABILITY)
    assert verdict.explanation.summary
    assert verdict.explanation.fix


def test_each_recipient_is_judged_by_its_own_reply() -> None:
    """One refused at RCPT, the other relayed by the reply to the dot."""
    refused = {TO[0]: Reply.of(550, ["5.1.1 no such user"])}
    verdicts = judge(Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), None, refused), TO)
    assert [verdicts[address].action for address in TO] == [Action.FAIL, Action.RELAYED]


def test_rule_names_are_unique_and_every_failure_kind_is_explained() -> None:
    """Names are kept with the attempts and counted."""
    names = [rule.name for rule in policy.RULES]
    assert len(names) == len(set(names))
    assert set(policy.WITHOUT_REPLY) == set(FailureKind)
