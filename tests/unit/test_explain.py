"""Every state that a person can meet has a sentence and a mend."""

from itertools import product

import pytest

from app.mail.explain import QUEUED, explain, fill_placeholders
from app.mail.lifecycle import MessageState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation

WHY = Explanation("The mailbox's login is refused.", "Switch SMTP AUTH on.")
TOLD = Explanation("The server does not take it just now.", "Nothing to do.")
CONDITIONS = [
    MailboxCondition(health, 1000.0, until, 60.0, None if health is Health.OPEN else WHY)
    for health, until in [(Health.OPEN, None), (Health.PAUSED, 1060.0), (Health.HELD, 1300.0), (Health.HELD, None)]
]


@pytest.mark.parametrize("state", MessageState)
def test_no_state_is_without_words(state: MessageState) -> None:
    """Whatever was kept with the message, whatever its mailbox's condition."""
    for told, relayed, scheduled, condition in product((None, TOLD), (True, False), (None, 5e9), CONDITIONS):
        explanation = explain(
            state, told, relayed=relayed, scheduled_at=scheduled, mailbox=("noreply@contoso.com", condition)
        )
        assert explanation.summary.endswith(".")
        assert explanation.fix.endswith(".")


@pytest.mark.parametrize("condition", CONDITIONS[1:], ids=lambda condition: f"{condition.health} {condition.until}")
def test_who_waits_for_a_mailbox_reads_what_is_wrong_with_it(condition: MailboxCondition) -> None:
    """Its reason and its mend, since when, and that nothing is lost by it."""
    explanation = explain(MessageState.QUEUED, TOLD, relayed=False, mailbox=("noreply@contoso.com", condition))
    assert explanation.fix == WHY.fix
    for part in ("1970-01-01 00:16 UTC", "noreply@contoso.com", WHY.summary, "go by themselves"):
        assert part in explanation.summary


def test_an_open_mailbox_leaves_the_message_its_own_reason() -> None:
    """Deferred says why; queued says that it waits, also when a mailbox that is mended by now had put it back."""
    mailbox = ("noreply@contoso.com", CONDITIONS[0])
    assert explain(MessageState.DEFERRED, TOLD, relayed=False, mailbox=mailbox) is TOLD
    for told in (None, WHY):
        assert explain(MessageState.QUEUED, told, relayed=False, mailbox=mailbox) is QUEUED
        assert explain(MessageState.QUEUED, told, relayed=False) is QUEUED


def test_the_names_that_are_known_are_filled_in() -> None:
    """Wherever they stand in the fix; the others stay for the reader."""
    fix = "Run `release <mailbox>`, then `show <mailbox>` and `remove <object-id>`."
    filled = fill_placeholders(Explanation("It is so.", fix), {"mailbox": "a@b.c", "id": "1"})
    assert filled == Explanation("It is so.", "Run `release a@b.c`, then `show a@b.c` and `remove <object-id>`.")


def test_the_mailboxes_own_name_is_in_the_fix() -> None:
    """As it is in the reason."""
    why = Explanation("A person holds the mailbox.", "Open it with `postern mailboxes release <mailbox>`.")
    held = MailboxCondition(Health.HELD, explanation=why)
    fix = explain(MessageState.QUEUED, None, relayed=False, mailbox=("a@b.c", held)).fix
    assert fix == "Open it with `postern mailboxes release a@b.c`."
