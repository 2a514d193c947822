"""Every rule matches Exchange's texts and their variations."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import office365, policy
from app.mail.outcome.attempt import EnhancedStatus, Phase, Reply
from app.mail.outcome.rule import Rule, enhanced
from app.mail.outcome.verdict import Action, Verdict
from app.mail.policy import judge_reply
from app.simulator import replies
from tests.unit.mail.office365.texts import OTHER_BACK, OTHER_FRONT, SAMPLES, Sample

ROWS = {rule.name: rule for rule in office365.RULES}
TEXTS = [pytest.param(sample, id=f"{sample.rule}-{number}") for number, sample in enumerate(SAMPLES)]
STATUS = re.compile(r"^(\d{3}) (\d\.\d+\.\d+) ")


def evaluated(phase: Phase, *lines: str) -> Verdict:
    """The verdict on a reply of these lines, each with its code before it."""
    return judge_reply(phase, Reply.of(int(lines[0][:3]), [line[4:] for line in lines]))


@pytest.mark.parametrize("sample", TEXTS)
def test_a_text_has_its_rule(sample: Sample) -> None:
    """And the verdict has the text unchanged."""
    verdict = evaluated(sample.phase, sample.line())
    assert verdict.rule == sample.rule
    assert verdict.known
    assert verdict.confidence is ROWS[sample.rule].confidence
    assert verdict.reply == sample.line()


def test_every_rule_is_reachable() -> None:
    """By a text that no earlier rule matches."""
    assert {sample.rule for sample in SAMPLES} == set(ROWS)


def test_every_code_of_a_rule_is_used() -> None:
    """Texts are in lower case for comparison, codes exact."""
    for rule in office365.RULES:
        words = (*rule.all_of, *rule.any_of, *rule.exception, *rule.text_fallback)
        assert all(word == " ".join(word.lower().split()) for word in words), rule.name
        classes = {code // 100 for code in rule.codes}
        assert all(status.klass in classes for status in rule.statuses), rule.name
        assert rule.phases, rule.name


@pytest.mark.parametrize("sample", TEXTS)
def test_the_bracketed_host_is_ignored(sample: Sample) -> None:
    assert evaluated(sample.phase, sample.line(OTHER_FRONT, OTHER_BACK)).rule == sample.rule
    assert evaluated(sample.phase, sample.line("", "")).rule == sample.rule


@pytest.mark.parametrize("sample", TEXTS)
def test_texts_are_compared_without_case(sample: Sample) -> None:
    assert evaluated(sample.phase, sample.line().upper()).rule == sample.rule
    assert evaluated(sample.phase, sample.line().lower()).rule == sample.rule


@pytest.mark.parametrize("sample", TEXTS)
def test_more_text_may_follow(sample: Sample) -> None:
    """Microsoft adds links and identifiers."""
    more = "For more information see https://aka.ms/help [AB1 2027-01-01T00:00:00Z]"
    assert evaluated(sample.phase, f"{sample.line()} {more}").rule == sample.rule


@pytest.mark.parametrize("sample", TEXTS)
def test_a_text_may_have_several_lines(sample: Sample) -> None:
    """Broken anywhere, with the enhanced code on each or on the first alone."""
    line = sample.line()
    found = STATUS.match(line)
    head = found[0] if found else line[:4]
    words = line[len(head) :].split(" ")
    for cut in range(1, len(words)):
        first, second = " ".join(words[:cut]), " ".join(words[cut:])
        assert evaluated(sample.phase, head + first, head + second).rule == sample.rule
        assert evaluated(sample.phase, head + first, line[:4] + second).rule == sample.rule


@pytest.mark.parametrize("sample", TEXTS)
def test_smtp_may_precede_the_text(sample: Sample) -> None:
    """`550 5.7.60 SMTP; ...` and `550 SMTP; 5.7.60 ...` are the same."""
    found = STATUS.match(sample.line())
    if found is None:
        return
    code, status, rest = found[1], found[2], sample.line()[found.end() :]
    assert evaluated(sample.phase, f"{code} {status} SMTP; {rest}").rule == sample.rule
    assert evaluated(sample.phase, f"{code} SMTP; {status} {rest}").rule == sample.rule
    assert evaluated(sample.phase, f"{code} smtp;{status} {rest}").rule == sample.rule


# Without their enhanced code these say no more than a neighbour does.
TOLD_BY_NUMBER_ALONE = {
    "account-banned",
    "authentication-of-domain",
    "expired-on-the-way",
    "invalid-recipient",
    "login-against-policy",
    "onmicrosoft-limit",
    "outbound-policy",
    "recipient-over-limit",
    "recipient-policy",
    "refused-by-recipient",
    "routing-fault",
    "temporarily-restricted",
    "tenant-blocked",
    "unknown-recipient",
    "back-end-fault",
}


@pytest.mark.parametrize("sample", TEXTS)
def test_a_specific_text_needs_no_enhanced_code(sample: Sample) -> None:
    """Without one, no other rule matches it."""
    found = STATUS.match(sample.line())
    if found is None:
        return
    verdict = evaluated(sample.phase, f"{found[1]} {sample.line()[found.end() :]}")
    if sample.rule in TOLD_BY_NUMBER_ALONE:
        row, meant = policy_row(verdict.rule), ROWS[sample.rule]
        assert verdict.rule == sample.rule or not row.known or row.action is meant.action
    else:
        assert verdict.rule == sample.rule


def policy_row(name: str) -> Rule:
    """The row of that name."""
    return next(rule for rule in policy.RULES if rule.name == name)


STATUSES = {status for rule in office365.RULES for status in rule.statuses}


@given(st.builds(EnhancedStatus, st.sampled_from([4, 5]), st.integers(0, 9), st.integers(0, 999)))
def test_enhanced_codes_are_compared_as_a_whole(status: EnhancedStatus) -> None:
    """A code with another one as prefix or suffix is a different code."""
    if status in STATUSES:
        return
    code = 450 if status.klass == 4 else 550
    assert not evaluated(Phase.DOT, f"{code} {status} Something else").known


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("535 5.7.1 Authentication unsuccessful", "login-refused"),
        ("535 5.7.13 Authentication unsuccessful", "login-refused"),
        ("535 5.7.139 Authentication unsuccessful", "login-against-policy"),
        ("535 5.7.1390 Authentication unsuccessful", "authentication-unsuccessful"),
        ("535 5.7.30 Authentication unsuccessful", "basic-auth-retired"),
        ("535 5.7.3 Authentication unsuccessful", "authentication-unsuccessful"),
    ],
)
def test_no_code_is_matched_as_a_prefix(line: str, rule: str) -> None:
    """5.7.3 is not 5.7.30, 5.7.1 is not 5.7.139; and an invalid one (four digits) is text."""
    assert evaluated(Phase.AUTH, line).rule == rule


def test_a_malformed_code_in_a_rule_is_an_error() -> None:
    assert enhanced("5.7.139") == {EnhancedStatus(5, 7, 139)}
    for slip in ("5.7", "5.7.1390", "5.7.139 ", "3.7.1", "05.7.1"):
        with pytest.raises(ValueError, match="not enhanced status codes"):
            enhanced(slip)


@pytest.mark.parametrize("name", replies.ROWS)
def test_every_fault_of_the_simulator_has_a_rule(name: str) -> None:
    text = replies.ROWS[name]
    line = replies.fill(text, {"frontend": "A.outlook.com", "backend": "B.outlook.com", "mailbox": "m", "sender": "s"})
    verdict = evaluated(text.phase, *line.split("\n"))
    assert verdict.known, verdict.rule
    assert verdict.rule in ROWS


def test_no_exchange_rule_relays_a_message() -> None:
    """Only the default for 2yz after the dot does."""
    assert all(rule.action is not Action.RELAYED for rule in office365.RULES)
