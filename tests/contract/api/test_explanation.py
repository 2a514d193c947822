"""Every state in which a person can meet an email has its words, and a mailbox that rests is named with its mend."""

from collections.abc import Iterator

import pytest

from app.mail import health
from app.mail.attempt import Attempt, Phase
from app.mail.health import Condition, Health
from app.mail.reply import Reply
from app.mail.verdict import Explanation
from tests.contract.api.door import Door, Json, open_door
from tests.contract.api.test_retry import STATES, bring, claim, settle

WHY = Explanation(
    "SMTP AUTH is switched off for it.", "Run `Set-CASMailbox -Identity <mailbox>`, then release <mailbox>."
)
A, B, ELSEWHERE = "a@contoso.com", "b@contoso.com", "c@contoso.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server whose mailboxes no other module knows."""
    with open_door(tmp_path_factory.mktemp("explanation")) as server:
        yield server


@pytest.fixture
def door(server: Door) -> Iterator[Door]:
    """Its pool has no mailbox at first."""
    yield server
    for record in server.run(server.store.mailboxes()):
        keep(server, record.name, Condition(), "none")


def keep(door: Door, name: str, condition: Condition, pool: str = "main") -> None:
    """A mailbox that stands so."""
    door.run(door.store.keep_mailbox(name, pool, condition))


def rests(door: Door, until: float | None, *, held: bool = False) -> Condition:
    """At rest for so many seconds more, or until a person opens it."""
    now = door.clock.now()
    at = None if until is None else now + until
    return Condition(Health.HELD if held else Health.PAUSED, now, at, until or 0.0, WHY, 1, True)


def explanation(door: Door, id_: str) -> Json:
    """As GET says it: two sentences at least, and no name left open."""
    answer = door.get(f"/emails/{id_}")
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()["relay"]["explanation"]
    assert said.keys() == {"summary", "fix"}
    for text in said.values():
        assert text.endswith(".")
        assert "<mailbox>" not in text
        assert "<id>" not in text
    return said


SAYS = {
    "queued": "waits for its turn",
    "active": "is being relayed now",
    "deferred": "does not take this message just now",
    "held": "may have been delivered",
    "done": "has accepted it, which is not yet delivery",
    "failed": "forbids this message",
    "cancelled": "was taken back",
}


@pytest.mark.parametrize("mailbox", ["unknown", "open", "paused", "held", "held by a person"])
@pytest.mark.parametrize("state", STATES)
def test_no_state_is_without_words(door: Door, state: str, mailbox: str) -> None:
    """Whatever its mailbox does; who waits for one that rests reads that, the others their own reason."""
    id_ = bring(door, state)
    conditions = {
        "open": Condition(since=door.clock.now()),
        "paused": rests(door, 86_400),
        "held": rests(door, 300, held=True),
        "held by a person": health.held_by_person(Condition(), "audit", door.clock.now()),
    }
    if condition := conditions.get(mailbox):
        keep(door, A, condition)
    said = explanation(door, id_)
    if state in ("queued", "deferred") and mailbox not in ("unknown", "open"):
        assert f"mailbox {A}. " in said["summary"]
        assert A in said["fix"]
    else:
        assert SAYS[state] in said["summary"]


def test_who_waits_for_a_held_mailbox_reads_since_when_and_what_mends_it(door: Door) -> None:
    """In these words."""
    keep(door, A, Condition(Health.HELD, 1_800_000_000.0, 1_800_000_300.0, 300, WHY, 1, True))
    assert explanation(door, door.send()) == {
        "summary": "Held since 2027-01-15 08:00 UTC, tried again at 2027-01-15 08:05 UTC: mailbox a@contoso.com. "
        "SMTP AUTH is switched off for it. Its messages wait unspent and go by themselves afterwards.",
        "fix": "Run `Set-CASMailbox -Identity a@contoso.com`, then release a@contoso.com.",
    }


def test_a_mailbox_that_is_open_is_enough(door: Door) -> None:
    """One of the pool: the email waits for its turn. One of another pool does not help."""
    keep(door, A, rests(door, None, held=True))
    keep(door, ELSEWHERE, Condition(), "other")
    id_ = door.send()
    assert A in explanation(door, id_)["summary"]
    keep(door, B, Condition())
    assert "waits for its turn" in explanation(door, id_)["summary"]


def test_of_several_at_rest_it_waits_for_the_first_to_open(door: Door) -> None:
    """By its moment; one that a person has to open comes last."""
    id_ = door.send()
    keep(door, A, rests(door, None, held=True))
    assert f"mailbox {A}" in explanation(door, id_)["summary"]
    keep(door, B, rests(door, 3600, held=True))
    assert f"mailbox {B}" in explanation(door, id_)["summary"]
    keep(door, A, rests(door, 600))
    said = explanation(door, id_)["summary"]
    assert said.startswith("Paused since ")
    assert f"mailbox {A}" in said


def test_a_pause_that_is_over_is_no_reason(door: Door) -> None:
    """Though its relay had no reason to write that yet; nor one that is over before the email is due again."""
    deferred, id_ = bring(door, "deferred"), door.send()
    keep(door, A, rests(door, -1))
    assert "waits for its turn" in explanation(door, id_)["summary"]
    keep(door, A, rests(door, 5))
    assert "Paused" in explanation(door, id_)["summary"]
    assert SAYS["deferred"] in explanation(door, deferred)["summary"]


def test_a_scheduled_email_says_when(door: Door) -> None:
    """Whatever its mailbox does meanwhile."""
    keep(door, A, rests(door, None, held=True))
    id_ = door.send(scheduled_at="in 1 hour")
    assert "is to be sent at 20" in explanation(door, id_)["summary"]


def test_what_a_held_mailbox_gave_back_is_not_told_when_it_is_open_again(door: Door) -> None:
    """The reason was the mailbox's, and it is mended."""
    id_ = door.send()
    settle(door, claim(door, id_), Attempt(Phase.AUTH, Reply.of(535, ["5.7.139 SmtpClientAuthentication is disabled"])))
    keep(door, "noreply@contoso.com", rests(door, 300, held=True))
    assert "Held since" in explanation(door, id_)["summary"]
    keep(door, "noreply@contoso.com", Condition())
    assert "waits for its turn" in explanation(door, id_)["summary"]


def test_the_mailboxs_name_is_in_the_fix_of_an_attempt(door: Door) -> None:
    """And in that of the mailbox itself; the email's id is in the commands for a held one."""
    id_ = door.send()
    refused = Attempt(Phase.DOT, Reply.of(554, ["5.2.252 SendAsDenied; noreply@contoso.com not allowed to send as"]))
    settle(door, claim(door, id_), refused)
    assert "-Trustee noreply@contoso.com" in explanation(door, id_)["fix"]
    assert f"postern emails confirm {(held := bring(door, 'held'))}" in explanation(door, held)["fix"]
