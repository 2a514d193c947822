"""Entra ID errors: every rule is found, has a verdict and an explanation."""

import pytest

from app.mail.office365 import entra
from app.mail.outcome.attempt import Failure, FailureKind, Phase
from app.mail.outcome.verdict import Action, Scope
from app.mail.policy import judge_failure


def failure(code: str) -> Failure:
    """A credential that could not be had."""
    return Failure(Phase.AUTH, FailureKind.CREDENTIAL, "login.microsoftonline.com answered 401.", code)


@pytest.mark.parametrize("row", entra.ROWS, ids=lambda row: row.name)
def test_a_code_has_the_verdict_of_its_rule(row: entra.Row) -> None:
    """The mailbox is held or paused, and no attempt is counted."""
    for code in row.codes:
        verdict = judge_failure(failure(code))
        assert (verdict.action, verdict.scope) == (Action.DEFER, Scope.MAILBOX)
        assert (verdict.rule, verdict.explanation) == (row.name, row.explanation)
        assert verdict.hold is row.hold
        assert (verdict.pause > 0) is not row.hold
        assert verdict.reply == failure(code).detail


def test_codes_and_names_are_unique() -> None:
    """The first would hide the second."""
    codes = [code for row in entra.ROWS for code in row.codes]
    names = [row.name for row in entra.ROWS]
    assert len(codes) == len(set(codes))
    assert len(names) == len(set(names))


def test_every_rule_has_sentences_and_a_fix() -> None:
    for row in entra.ROWS:
        assert row.summary.endswith(".")
        assert row.fix.endswith(".")
        assert row.source


@pytest.mark.parametrize("code", ["", "AADSTS99999999", "something_new"])
def test_an_unknown_code_pauses(code: str) -> None:
    """It must not hold for ever because Microsoft has added a code."""
    verdict = judge_failure(failure(code))
    assert (verdict.action, verdict.hold) == (Action.DEFER, False)
    assert verdict.pause > 0
    assert verdict.explanation.fix
