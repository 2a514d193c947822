"""Every state in which a person can meet an email has its words, and a mailbox that rests is named with its mend."""

from collections.abc import Iterator

import pytest

from app.mail import mailbox_health
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.attempt import Attempt, Phase
from app.mail.outcome.reply import Reply
from app.mail.outcome.verdict import Explanation
from tests.contract.api.emails.test_retry import STATES, bring, claim, settle
from tests.contract.api.server import ApiServer, Json, open_server

WHY = Explanation(
    "SMTP AUTH is switched off for it.", "Run `Set-CASMailbox -Identity <mailbox>`, then release <mailbox>."
)
A, B, ELSEWHERE = "a@contoso.com", "b@contoso.com", "c@contoso.com"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose mailboxes no other module knows."""
    with open_server(tmp_path_factory.mktemp("explanation")) as server:
        yield server


@pytest.fixture
def server(own_server: ApiServer) -> Iterator[ApiServer]:
    """Its pool has no mailbox at first."""
    yield own_server
    for record in own_server.run(own_server.store.mailboxes()):
        keep(own_server, record.name, MailboxCondition(), "none")


def keep(server: ApiServer, name: str, condition: MailboxCondition, pool: str = "main") -> None:
    """A mailbox that stands so."""
    server.run(server.store.save_condition(name, pool, condition))


def rests(server: ApiServer, until: float | None, *, held: bool = False) -> MailboxCondition:
    """At rest for so many seconds more, or until a person opens it."""
    now = server.clock.now()
    at = None if until is None else now + until
    return MailboxCondition(Health.HELD if held else Health.PAUSED, now, at, until or 0.0, WHY, 1, True)


def explanation(server: ApiServer, id_: str) -> Json:
    """As GET says it: two sentences at least, and no name left open."""
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
def test_no_state_is_without_words(server: ApiServer, state: str, mailbox: str) -> None:
    """Whatever its mailbox does; who waits for one that rests reads that, the others their own reason."""
    id_ = bring(server, state)
    conditions = {
        "open": MailboxCondition(since=server.clock.now()),
        "paused": rests(server, 86_400),
        "held": rests(server, 300, held=True),
        "by operator": mailbox_health.hold(MailboxCondition(), "audit", server.clock.now()),
    }
    if condition := conditions.get(mailbox):
        keep(server, A, condition)
    said = explanation(server, id_)
    if state in ("queued", "deferred") and mailbox not in ("unknown", "open"):
        assert f"Mailbox {A} has been " in said["summary"]
        assert A in said["fix"]
    else:
        assert SAYS[state] in said["summary"]


def test_who_waits_for_a_held_mailbox_reads_since_when_and_what_mends_it(server: ApiServer) -> None:
    """In these words."""
    keep(server, A, MailboxCondition(Health.HELD, 1_800_000_000.0, 1_800_000_300.0, 300, WHY, 1, True))
    assert explanation(server, server.send()) == {
        "summary": "Mailbox a@contoso.com has been held since 2027-01-15 08:00 UTC, "
        "next attempt at 2027-01-15 08:05 UTC. "
        "SMTP AUTH is switched off for it. Its emails wait in the queue and are sent when it works again.",
        "fix": "Run `Set-CASMailbox -Identity a@contoso.com`, then release a@contoso.com.",
    }


def test_a_mailbox_that_is_open_is_enough(server: ApiServer) -> None:
    """One of the pool: the email waits in the queue. One of another pool does not help."""
    keep(server, A, rests(server, None, held=True))
    keep(server, ELSEWHERE, MailboxCondition(), "other")
    id_ = server.send()
    assert A in explanation(server, id_)["summary"]
    keep(server, B, MailboxCondition())
    assert "waits in the queue" in explanation(server, id_)["summary"]


def test_of_several_at_rest_it_waits_for_the_first_to_open(server: ApiServer) -> None:
    """By its moment; one that a person has to open comes last."""
    id_ = server.send()
    keep(server, A, rests(server, None, held=True))
    assert f"Mailbox {A}" in explanation(server, id_)["summary"]
    keep(server, B, rests(server, 3600, held=True))
    assert f"Mailbox {B}" in explanation(server, id_)["summary"]
    keep(server, A, rests(server, 600))
    said = explanation(server, id_)["summary"]
    assert "has been paused since " in said
    assert f"Mailbox {A}" in said


def test_a_pause_that_is_over_is_no_reason(server: ApiServer) -> None:
    """Though its relay had no reason to write that yet; nor one that is over before the email is due again."""
    deferred, id_ = bring(server, "deferred"), server.send()
    keep(server, A, rests(server, -1))
    assert "waits in the queue" in explanation(server, id_)["summary"]
    keep(server, A, rests(server, 5))
    assert "has been paused since" in explanation(server, id_)["summary"]
    assert SAYS["deferred"] in explanation(server, deferred)["summary"]


def test_a_scheduled_email_says_when(server: ApiServer) -> None:
    """Whatever its mailbox does meanwhile."""
    keep(server, A, rests(server, None, held=True))
    id_ = server.send(scheduled_at="in 1 hour")
    assert "is scheduled for 20" in explanation(server, id_)["summary"]


def test_what_a_held_mailbox_gave_back_is_not_told_when_it_is_open_again(server: ApiServer) -> None:
    """The reason was the mailbox's, and it is mended."""
    id_ = server.send()
    settle(
        server, claim(server, id_), Attempt(Phase.AUTH, Reply.of(535, ["5.7.139 SmtpClientAuthentication is disabled"]))
    )
    keep(server, "noreply@contoso.com", rests(server, 300, held=True))
    assert "has been held since" in explanation(server, id_)["summary"]
    keep(server, "noreply@contoso.com", MailboxCondition())
    assert "waits in the queue" in explanation(server, id_)["summary"]


def test_the_mailboxs_name_is_in_the_fix_of_an_attempt(server: ApiServer) -> None:
    """And in that of the mailbox itself; the email's id is in the commands for a held one."""
    id_ = server.send()
    refused = Attempt(Phase.DOT, Reply.of(554, ["5.2.252 SendAsDenied; noreply@contoso.com not allowed to send as"]))
    settle(server, claim(server, id_), refused)
    assert "-Trustee noreply@contoso.com" in explanation(server, id_)["fix"]
    assert f"postern emails confirm {(held := bring(server, 'held'))}" in explanation(server, held)["fix"]
