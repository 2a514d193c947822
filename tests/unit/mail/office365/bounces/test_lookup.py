"""Rows of bounces: meaning of each code, and the few that may suppress an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import office365
from app.mail.office365.bounces import lookup
from app.mail.office365.bounces.lookup import MAX_TEXT, explain_bounce, may_suppress
from app.mail.outcome.verdict import Action, Responsible
from tests.unit.mail.office365.bounces.codes import CODES, Code

BY_TEXT_AND_CODE = [pytest.param(code, id=f"{code.code}-{code.rule}") for code in CODES]
UNKNOWN_USER = "smtp;550 5.1.1 <b@example.net>... User Unknown"


def meaning(code: str, text: str = "") -> tuple[str, Responsible, bool]:
    """Name, cause and permanence of a bounce."""
    bounce = explain_bounce(code, text)
    return bounce.rule.name, bounce.rule.responsible, bounce.permanent


@pytest.mark.parametrize("code", BY_TEXT_AND_CODE)
def test_a_code_has_its_row(code: Code) -> None:
    """With its cause, temporary or permanent."""
    assert meaning(code.code, code.text) == (code.rule, code.responsible, code.permanent)
    assert explain_bounce(code.code, code.text).rule.known


@pytest.mark.parametrize("code", BY_TEXT_AND_CODE)
def test_the_code_is_read_from_a_report_and_from_a_trace(code: Code) -> None:
    """In the forms of `Diagnostic-Code`, of a trace's `Fail` and of its `Defer`."""
    number = "450" if code.code[0] == "4" else "550"
    line = code.text if code.text.startswith(("smtp;", "4", "5")) else f"{number} {code.code} {code.text}"
    if code.code not in line:
        line = f"{number} {code.code} {line}"
    for text in (
        f"smtp;{line.removeprefix('smtp;')}",
        f"Reason: [{{LED={line}}};{{MSG=}};{{FQDN=mx.example.net}};{{IP=192.0.2.1}};{{LRT=1/21/2027 3:45:12 AM}}]",
        f"The message was deferred. {line} [LastAttemptedServerName=mx.example.net]",
    ):
        assert meaning("", text) == (code.rule, code.responsible, code.permanent), text
    assert meaning(code.code[0] + ".0.0", f"smtp;{line.removeprefix('smtp;')}")[0] == code.rule


@pytest.mark.parametrize("code", sorted({code.code for code in CODES}))
def test_a_code_alone_is_known(code: str) -> None:
    """A trace may have no text. Only for an address is the text needed to suppress."""
    assert explain_bounce(code).rule.known
    assert may_suppress(code, own_organization=False) == {"5.1.1": 1, "5.1.10": 1, "5.4.310": 2, "5.2.1": 2}.get(
        code, 0
    )


def test_every_row_is_reachable() -> None:
    """By a code that no earlier row takes."""
    own = {rule.name for rule in lookup.OWN_RULES}
    assert own == own & {code.rule for code in CODES}


def test_names_are_unique_among_all_rows() -> None:
    names = [rule.name for rule in (*office365.RULES, *lookup.OWN_RULES, *lookup.DEFAULTS)]
    assert len(names) == len(set(names))


def test_texts_of_rows_are_in_lower_case() -> None:
    """As they are compared."""
    for rule in lookup.OWN_RULES:
        for word in (*rule.text, *rule.any_of, *rule.all_of, *rule.none_of, *rule.text_fallback):
            assert word == " ".join(word.lower().split()), rule.name


def test_no_fix_promises_another_attempt() -> None:
    """Exchange has the message: Postern does not send it again."""
    for rule in (*lookup.RULES, *lookup.DEFAULTS):
        assert "Postern tries" not in rule.fix, rule.name
        assert "Postern waits" not in rule.fix, rule.name


@given(st.sampled_from("45"), st.integers(0, 9), st.integers(0, 999), st.text(max_size=80))
def test_an_unknown_code_counts_by_its_class(klass: str, subject: int, detail: int, text: str) -> None:
    """And no row is made up."""
    bounce = explain_bounce(f"{klass}.{subject}.{detail}", text)
    assert not (bounce.permanent and klass == "4")
    if not bounce.rule.known:
        assert bounce.rule.name == ("delayed" if klass == "4" else "bounced")
        assert bounce.permanent is (klass == "5")


@pytest.mark.parametrize("text", ["", "It did not work", "2.0.0 OK", "5.1", "15.1.10", "5.1.1000"])
def test_without_a_code_nothing_is_certain(text: str) -> None:
    bounce = explain_bounce("", text)
    assert (bounce.status, bounce.permanent, bounce.rule.known) == (None, False, False)


def test_a_text_without_a_code_can_still_be_known() -> None:
    assert meaning("", "user's mailbox is full") == ("bounced-recipient-mailbox-full", Responsible.RECEIVER, False)


def test_only_the_beginning_of_a_text_is_read() -> None:
    """A report is foreign text of any length."""
    assert explain_bounce("", "x" * MAX_TEXT + " 550 5.1.1 User unknown").status is None


SUPPRESSING = [
    ("5.1.1", UNKNOWN_USER, 1),
    ("5.1.1", "", 1),
    ("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", 1),
    ("5.1.2", "smtp;550 5.1.2 domain example.net does not accept mail", 1),
    ("5.4.310", "smtp;550 5.4.310 DNS domain example.net does not exist", 2),
    ("5.2.1", "smtp;550 5.2.1 mailbox disabled, not accepting messages", 2),
    ("", f"Reason: [{{LED={UNKNOWN_USER}}}]", 1),
]


@pytest.mark.parametrize(("code", "text", "after"), SUPPRESSING)
def test_a_dead_address_may_be_suppressed(code: str, text: str, after: int) -> None:
    """At once, or at the second bounce within 24 hours."""
    assert may_suppress(code, text, own_organization=False) == after


@pytest.mark.parametrize(("code", "text", "after"), SUPPRESSING)
def test_nothing_in_the_own_organization_suppresses(code: str, text: str, after: int) -> None:
    assert after
    assert may_suppress(code, text, own_organization=True) == 0


@pytest.mark.parametrize("detail", [0, 1, 12, 13, 133, 171, 350, 505, 509, 511, 606, 700, 705, 708, 750, 900, 999])
@pytest.mark.parametrize("text", ["", UNKNOWN_USER, "RESOLVER.ADR.RecipientNotFound; not found"])
def test_policy_never_suppresses(detail: int, text: str) -> None:
    """5.7.X, whatever its text says."""
    assert may_suppress(f"5.7.{detail}", text, own_organization=False) == 0


@given(st.integers(0, 9), st.integers(0, 999), st.sampled_from(["", UNKNOWN_USER, "does not exist", "disabled"]))
def test_a_delay_never_suppresses(subject: int, detail: int, text: str) -> None:
    """Class 4, although a text has a code of class 5 in it."""
    if (subject, detail) != (0, 0):
        assert may_suppress(f"4.{subject}.{detail}", text, own_organization=False) == 0


@given(st.integers(0, 9), st.integers(0, 999), st.text(max_size=60))
def test_no_other_code_suppresses(subject: int, detail: int, text: str) -> None:
    """Only the five codes of a dead address."""
    code = f"5.{subject}.{detail}"
    if (subject, detail) != (0, 0) and code not in ("5.1.1", "5.1.10", "5.1.2", "5.4.310", "5.2.1"):
        assert may_suppress(code, text, own_organization=False) == 0


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("5.1.8", "Access denied, bad outbound sender"),
        ("5.1.90", "you've reached your daily limit for message recipients"),
        ("5.2.2", "mailbox full"),
        ("5.2.3", "message too large for this recipient"),
        ("5.2.251", "Sender throttled due to continuous mailbox full errors"),
        ("5.2.255", "Sender throttled due to continuous invalid recipients errors"),
        ("5.1.0", "Sender denied"),
        ("5.1.3", "Invalid address"),
        ("5.1.351", "Remote server returned unknown recipient or mailbox unavailable -> 550 5.1.1 User unknown"),
        ("5.4.1", "Recipient address rejected: Access denied"),
        ("5.5.0", "Requested action not taken: mailbox unavailable"),
        ("5.4.312", "Message expired, DNS query failed"),
        ("5.4.316", "Message expired, connection refused"),
        ("5.1.2", "invalid X.400 address"),
        ("5.1.1", "550 5.1.1 blocked: message looks like spam"),
        ("5.1.1", "550 5.1.1 <b@example.net> Mailbox full"),
        ("5.1.1", "550 5.1.1 sender not allowed by policy"),
        ("5.2.1", "mailbox cannot be accessed; STOREDRV.Deliver"),
        ("5.2.1", "Content Filter agent quarantined this message"),
        ("5.2.1", "550 5.2.1 The user you are trying to contact is receiving mail at a rate that is too high"),
        ("5.2.1", "mailbox disabled; STOREDRV.Submission.Exception:AccountDisabledException"),
        ("5.0.0", "554 rejected"),
        ("", "user unknown"),
        ("", ""),
        ("2.1.5", "250 2.1.5 OK"),
    ],
)
def test_neighbours_do_not_suppress(code: str, text: str) -> None:
    """Limits, policy, the sender's own faults, and codes of a dead address with another text."""
    assert may_suppress(code, text, own_organization=False) == 0


def test_only_permanent_rows_about_the_address_suppress() -> None:
    rows = [rule for rule in lookup.RULES if rule.suppress_after]
    assert {rule.responsible for rule in rows} == {Responsible.ADDRESS}
    assert {rule.action for rule in rows} == {Action.FAIL}
    assert not any(rule.suppress_after for rule in office365.RULES)
