"""Explanation of every state of an email; a mailbox at rest is named with its fix."""

from collections.abc import Iterator

import pytest

from app.mail import mailbox_health
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.outcome.verdict import Explanation
from tests.contract.api.emails.test_retry import STATES, claim, create_in_state, settle
from tests.contract.api.server import ApiServer, Json, open_server

WHY = Explanation(
    "SMTP AUTH is switched off for it.", "Run `Set-CASMailbox -Identity <mailbox>`, then release <mailbox>."
)
A, B, ELSEWHERE = "a@contoso.com", "b@contoso.com", "c@contoso.com"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server with mailboxes that no other module uses."""
    with open_server(tmp_path_factory.mktemp("explanation")) as server:
        yield server


@pytest.fixture
def server(own_server: ApiServer) -> Iterator[ApiServer]:
    """The same server, with no mailbox in its pool."""
    yield own_server
    for record in own_server.run(own_server.store.mailboxes()):
        store_condition(own_server, record.name, MailboxCondition(), "none")


def store_condition(server: ApiServer, name: str, condition: MailboxCondition, pool: str = "main") -> None:
    """Store a mailbox in this condition."""
    server.run(server.store.save_condition(name, pool, condition))


def rests(server: ApiServer, until: float | None, *, held: bool = False) -> MailboxCondition:
    """Return a condition that rests for this many more seconds, or until it is released."""
    now = server.clock.now()
    at = None if until is None else now + until
    return MailboxCondition(Health.HELD if held else Health.PAUSED, now, at, until or 0.0, WHY, 1, True)


def explanation(server: ApiServer, id_: str) -> Json:
    """Return the explanation of an email: at least two sentences and no unfilled placeholder."""
    answer = server.get(f"/emails/{id_}")
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()["relay"]["explanation"]
    assert said.keys() == {"summary", "fix"}
    for text in said.values():
        assert text.endswith(".")
        assert "<mailbox>" not in text
        assert "<id>" not in text
    return said


SAYS = {
    "queued": "waits in the queue",
    "active": "is being sent now",
    "deferred": "does not accept this message at the moment",
    "held": "may have been delivered",
    "done": "does not mean that it was delivered",
    "failed": "forbids this message",
    "cancelled": "was cancelled before it was sent",
}


@pytest.mark.parametrize("mailbox", ["unknown", "open", "paused", "held", "by operator"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_has_an_explanation(server: ApiServer, state: str, mailbox: str) -> None:
    """With every mailbox condition. An email that waits for a mailbox has its reason, any other its own."""
    id_ = create_in_state(server, state)
    conditions = {
        "open": MailboxCondition(since=server.clock.now()),
        "paused": rests(server, 86_400),
        "held": rests(server, 300, held=True),
        "by operator": mailbox_health.hold(MailboxCondition(), "audit", server.clock.now()),
    }
    if condition := conditions.get(mailbox):
        store_condition(server, A, condition)
    said = explanation(server, id_)
    if state in ("queued", "deferred") and mailbox not in ("unknown", "open"):
        assert f"Mailbox {A} has been " in said["summary"]
        assert A in said["fix"]
    else:
        assert SAYS[state] in said["summary"]


def test_an_email_behind_a_held_mailbox_names_the_time_and_the_fix(server: ApiServer) -> None:
    """The whole text is compared."""
    store_condition(server, A, MailboxCondition(Health.HELD, 1_800_000_000.0, 1_800_000_300.0, 300, WHY, 1, True))
    assert explanation(server, server.send()) == {
        "summary": "Mailbox a@contoso.com has been held since 2027-01-15 08:00 UTC, "
        "next attempt at 2027-01-15 08:05 UTC. "
        "SMTP AUTH is switched off for it. Its emails wait in the queue and are sent when it works again.",
        "fix": "Run `Set-CASMailbox -Identity a@contoso.com`, then release a@contoso.com.",
    }


def test_one_open_mailbox_of_the_pool_is_enough(server: ApiServer) -> None:
    """The email waits in the queue. A mailbox of another pool does not count."""
    store_condition(server, A, rests(server, None, held=True))
    store_condition(server, ELSEWHERE, MailboxCondition(), "other")
    id_ = server.send()
    assert A in explanation(server, id_)["summary"]
    store_condition(server, B, MailboxCondition())
    assert "waits in the queue" in explanation(server, id_)["summary"]


def test_of_several_resting_mailboxes_the_first_to_open_is_named(server: ApiServer) -> None:
    """By time; one that needs an operator is last."""
    id_ = server.send()
    store_condition(server, A, rests(server, None, held=True))
    assert f"Mailbox {A}" in explanation(server, id_)["summary"]
    store_condition(server, B, rests(server, 3600, held=True))
    assert f"Mailbox {B}" in explanation(server, id_)["summary"]
    store_condition(server, A, rests(server, 600))
    said = explanation(server, id_)["summary"]
    assert "has been paused since " in said
    assert f"Mailbox {A}" in said


def test_an_elapsed_pause_is_not_a_reason(server: ApiServer) -> None:
    """Though its relay has not stored that yet; nor one that ends before the email is due."""
    deferred, id_ = create_in_state(server, "deferred"), server.send()
    store_condition(server, A, rests(server, -1))
    assert "waits in the queue" in explanation(server, id_)["summary"]
    store_condition(server, A, rests(server, 5))
    assert "has been paused since" in explanation(server, id_)["summary"]
    assert SAYS["deferred"] in explanation(server, deferred)["summary"]


def test_a_scheduled_email_names_its_time(server: ApiServer) -> None:
    """In every mailbox condition."""
    store_condition(server, A, rests(server, None, held=True))
    id_ = server.send(scheduled_at="in 1 hour")
    assert "is scheduled for 20" in explanation(server, id_)["summary"]


def test_the_reason_of_a_held_mailbox_ends_when_it_is_open_again(server: ApiServer) -> None:
    id_ = server.send()
    settle(
        server, claim(server, id_), Attempt(Phase.AUTH, Reply.of(535, ["5.7.139 SmtpClientAuthentication is disabled"]))
    )
    store_condition(server, "noreply@contoso.com", rests(server, 300, held=True))
    assert "has been held since" in explanation(server, id_)["summary"]
    store_condition(server, "noreply@contoso.com", MailboxCondition())
    assert "waits in the queue" in explanation(server, id_)["summary"]


def test_the_fix_of_an_attempt_names_the_mailbox(server: ApiServer) -> None:
    """So does that of the mailbox; the commands for a held email have its id."""
    id_ = server.send()
    refused = Attempt(Phase.DOT, Reply.of(554, ["5.2.252 SendAsDenied; noreply@contoso.com not allowed to send as"]))
    settle(server, claim(server, id_), refused)
    assert "-Trustee noreply@contoso.com" in explanation(server, id_)["fix"]
    assert f"postern emails confirm {(held := create_in_state(server, 'held'))}" in explanation(server, held)["fix"]
