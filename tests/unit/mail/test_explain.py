"""Every state that a person can see has a sentence and a fix."""

from itertools import product

import pytest

from app.mail.explain import QUEUED, explain, fill_placeholders
from app.mail.lifecycle import MessageState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation

WHY = Explanation("The server refused the login of the mailbox.", "Switch SMTP AUTH on.")
RECORDED = Explanation("The server does not take it just now.", "Nothing to do.")
CONDITIONS = [
    MailboxCondition(health, 1000.0, until, 60.0, None if health is Health.OPEN else WHY)
    for health, until in [(Health.OPEN, None), (Health.PAUSED, 1060.0), (Health.HELD, 1300.0), (Health.HELD, None)]
]


@pytest.mark.parametrize("state", MessageState)
def test_every_state_has_an_explanation(state: MessageState) -> None:
    """Complete sentences for every recorded reason and mailbox condition."""
    for recorded, relayed, scheduled, condition in product((None, RECORDED), (True, False), (None, 5e9), CONDITIONS):
        explanation = explain(
            state, recorded, relayed=relayed, scheduled_at=scheduled, mailbox=("noreply@contoso.com", condition)
        )
        assert explanation.summary.endswith(".")
        assert explanation.fix.endswith(".")


@pytest.mark.parametrize("condition", CONDITIONS[1:], ids=lambda condition: f"{condition.health} {condition.until}")
def test_a_waiting_message_is_explained_by_its_mailbox(condition: MailboxCondition) -> None:
    """Explanation of a waiting message: the mailbox's reason, fix and times."""
    explanation = explain(MessageState.QUEUED, RECORDED, relayed=False, mailbox=("noreply@contoso.com", condition))
    assert explanation.fix == WHY.fix
    for part in ("1970-01-01 00:16 UTC", "noreply@contoso.com", WHY.summary, "are sent when it works again"):
        assert part in explanation.summary


def test_an_open_mailbox_leaves_the_message_its_own_reason() -> None:
    """A deferred message has its recorded reason; a queued one only waits, whatever was recorded before."""
    mailbox = ("noreply@contoso.com", CONDITIONS[0])
    assert explain(MessageState.DEFERRED, RECORDED, relayed=False, mailbox=mailbox) is RECORDED
    for recorded in (None, WHY):
        assert explain(MessageState.QUEUED, recorded, relayed=False, mailbox=mailbox) is QUEUED
        assert explain(MessageState.QUEUED, recorded, relayed=False) is QUEUED


def test_known_placeholders_are_filled_in() -> None:
    """Every occurrence in the fix; unknown placeholders stay."""
    fix = "Run `release <mailbox>`, then `show <mailbox>` and `remove <object-id>`."
    filled = fill_placeholders(Explanation("It is so.", fix), {"mailbox": "a@b.c", "id": "1"})
    assert filled == Explanation("It is so.", "Run `release a@b.c`, then `show a@b.c` and `remove <object-id>`.")


def test_the_fix_names_the_mailbox() -> None:
    """The placeholder of a mailbox's fix is its name."""
    why = Explanation("An operator holds the mailbox.", "Release it with `postern mailboxes release <mailbox>`.")
    held = MailboxCondition(Health.HELD, explanation=why)
    fix = explain(MessageState.QUEUED, None, relayed=False, mailbox=("a@b.c", held)).fix
    assert fix == "Release it with `postern mailboxes release a@b.c`."
