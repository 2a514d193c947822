"""What a person does at the command line about mail and mailboxes, beside a Postern that runs, and without one."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from app.cli import application
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.message.message import OnUnknown
from app.mail.outcome.verdict import Explanation
from app.relay.wakeups import POLL_INTERVAL
from app.simulator import Drop, Fault, Point, Say, Simulator
from app.store import Store
from app.store.mailboxes.records import MailboxRecord
from app.store.records import Email
from tests.contract.store import build
from tests.harness import ACCOUNT, MAILBOX, WAIT_TIMEOUT, Harness, harness, settings_for

T = TypeVar("T")

WHY = Explanation("SMTP AUTH is switched off for it.", "Set-CASMailbox -Identity noreply@contoso.com")
UNKNOWN_ID = UUID(int=1)
SOON = POLL_INTERVAL + 2.0  # seconds: the longest rest of a relay, and what a busy machine may add to it


def postern(folder: Path, *arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(application, [str(one) for one in arguments], env={"POSTERN_DATA_DIR": str(folder)})


def stored(folder: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """Something over the store of this folder."""

    async def opened() -> T:
        store = await Store.open(f"sqlite:///{folder}/postern.db")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def bring(folder: Path, to: str) -> UUID:
    """A message that stands so: a state, or `failed` for one that is done and failed."""

    async def brought(store: Store) -> UUID:
        (id,) = await build.accept(store, build.acceptance(on_unknown=OnUnknown.HOLD))
        if to != "queued":
            claimed = await build.claim_one(store)
            if to != "active":
                attempts = {"held": build.LOST, "failed": build.REFUSED, "done": build.RELAYED}
                await build.settle(store, claimed, attempts[to])
        return id

    return stored(folder, brought)


def email(folder: Path, id: UUID) -> Email:
    """The message."""
    found = stored(folder, lambda store: store.get(id))
    assert found is not None
    return found


def failed(result: Result, code: int, says: str) -> None:
    """Nothing on standard output, one plain line on the other."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("postern: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


@pytest.mark.parametrize(
    ("verb", "stands", "after"),
    [
        ("retry", "held", "queued"),
        ("retry", "failed", "queued"),
        ("cancel", "queued", "cancelled"),
        ("cancel", "held", "cancelled"),
        ("confirm", "held", "done"),
    ],
)
def test_what_is_possible_is_one_line(tmp_path: Path, verb: str, stands: str, after: str) -> None:
    """With the id and the new state, and it is so."""
    id = bring(tmp_path, stands)
    result = postern(tmp_path, "emails", verb, id)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{id} is {after}")
    assert result.output.count("\n") == 1
    assert email(tmp_path, id).state == after


@pytest.mark.parametrize(
    ("verb", "stands", "says"),
    [
        ("retry", "queued", "The email is queued. Only an email that is held, or done with"),
        ("retry", "active", "The email is active. Only an email that is held, or done with"),
        ("retry", "done", "The email is done."),
        ("cancel", "active", "Only an email that is queued, deferred or held can be cancelled."),
        ("cancel", "done", "The email is done."),
        ("confirm", "queued", "Only an email that is held can be confirmed."),
    ],
)
def test_what_is_not_possible_is_one_line_too(tmp_path: Path, verb: str, stands: str, says: str) -> None:
    """Exit code 1, the reason, and nothing has changed; the second of two calls ends so."""
    id = bring(tmp_path, stands)
    before = email(tmp_path, id)
    failed(postern(tmp_path, "emails", verb, id), 1, says)
    assert email(tmp_path, id) == before


@pytest.mark.parametrize("verb", ["retry", "cancel", "confirm", "show"])
def test_a_message_that_is_not_there(tmp_path: Path, verb: str) -> None:
    """1 for an unknown id, 2 for what is none, 69 for a store that cannot be opened."""
    failed(
        postern(tmp_path, "emails", verb, UNKNOWN_ID), 1, f"there is no email {UNKNOWN_ID}; see: postern emails list"
    )
    assert postern(tmp_path, "emails", verb, "nope").exit_code == 2
    (tmp_path / "file").touch()
    failed(postern(tmp_path / "file", "emails", verb, UNKNOWN_ID), 69, "cannot be made")


def test_held_messages_are_listed(tmp_path: Path) -> None:
    """They are what a person has to decide about."""
    bring(tmp_path, "failed")
    held = bring(tmp_path, "held")
    result = postern(tmp_path, "emails", "list", "--state", "held", "--json")
    assert [(one["id"], one["state"]) for one in json.loads(result.stdout)] == [(str(held), "held")]
    assert "confirm" in postern(tmp_path, "emails", "show", held).stdout


def mailbox(folder: Path, condition: MailboxCondition | None = None) -> MailboxRecord:
    """The mailbox as its relay reads it, kept anew if a condition is given."""

    async def kept(store: Store) -> MailboxRecord | None:
        if condition:
            await store.save_condition(MAILBOX, "default", condition)
        return await store.mailbox(MAILBOX)

    record = stored(folder, kept)
    assert record is not None
    return record


def test_mailboxes_are_listed(tmp_path: Path) -> None:
    """With why and what mends it: for people, and as JSON."""
    assert postern(tmp_path, "mailboxes", "list").stdout.startswith("No mailboxes yet")
    assert json.loads(postern(tmp_path, "mailboxes", "list", "--json").stdout) == []
    mailbox(tmp_path, MailboxCondition(Health.HELD, 1_800_000_000.0, 1_800_000_300.0, 300, WHY, 1, True))
    postern(tmp_path, "mailboxes", "release", MAILBOX)
    assert json.loads(postern(tmp_path, "mailboxes", "list", "--json").stdout) == [
        {
            "name": MAILBOX,
            "pool": "default",
            "owner": None,
            "health": "held",
            "since": "2027-01-15T08:00:00+00:00",
            "until": "2027-01-15T08:05:00+00:00",
            "connections": None,
            "messages_last_minute": 0,
            "recipients_last_day": 0,
            "wish": "release",
            "explanation": {"summary": WHY.summary, "fix": WHY.fix},
        }
    ]
    shown = postern(tmp_path, "mailboxes", "list").stdout
    assert f"{MAILBOX}: {WHY.summary}\n{WHY.fix}\n" in shown
    assert "release was requested" in shown


def test_a_mailbox_is_to_be_held_and_released(tmp_path: Path) -> None:
    """The wish is kept for the relay, the last one counts."""
    mailbox(tmp_path, MailboxCondition())
    result = postern(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", " audit \n of May ")
    assert (result.exit_code, result.output.count("\n")) == (0, 1)
    assert result.stdout.startswith(f"{MAILBOX} will be held")
    wish = mailbox(tmp_path).hold_request
    assert wish is not None
    assert (wish.hold, wish.reason) == (True, "audit of May")
    assert abs(wish.at - time.time()) < WAIT_TIMEOUT
    assert postern(tmp_path, "mailboxes", "release", MAILBOX).stdout.startswith(f"{MAILBOX} will be released")
    wish = mailbox(tmp_path).hold_request
    assert wish is not None
    assert (wish.hold, wish.reason) == (False, "")


def test_what_cannot_be_wished(tmp_path: Path) -> None:
    """1 for an unknown mailbox, 2 for a reason that is too long."""
    for verb in ("hold", "release"):
        failed(postern(tmp_path, "mailboxes", verb, "x@y.example"), 1, "see: postern mailboxes list")
    mailbox(tmp_path, MailboxCondition())
    result = postern(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", "x" * 201)
    assert (result.exit_code, "use at most 200" in " ".join(result.stderr.split())) == (2, True)
    assert mailbox(tmp_path).hold_request is None


# Beside a Postern that runs: the commands are processes of their own, as a person starts them.


async def command(folder: Path, *arguments: object) -> str:
    """What the command prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *(str(one) for one in arguments)),
        env={"POSTERN_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return output.decode()


@pytest.fixture
async def simulator() -> Any:
    """A pretend Office 365."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        yield simulator


@pytest.fixture
async def at_home(simulator: Simulator, tmp_path: Path) -> Any:
    """Postern in front of it."""
    async with harness(simulator, settings_for(simulator, tmp_path)) as at_home:
        yield at_home


async def until_held(at_home: Harness, seconds: float) -> None:
    """Until the relay holds the mailbox, and the store knows."""
    async with asyncio.timeout(seconds):
        while (await at_home.caller.get("/mailboxes")).json()["data"][0]["health"] != "held":
            await asyncio.sleep(0.01)


async def test_a_message_failed_and_is_retried(at_home: Harness, tmp_path: Path) -> None:
    """The running relay finds it by itself within its rest of a second; who has the mail does not get it again."""
    at_home.simulator.faults.add(
        Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="bob@example.net", times=1)
    )
    id = await at_home.post(to=["ada@example.net", "bob@example.net"])
    assert (await at_home.until(id, "done"))["last_event"] == "failed"
    assert f"{id} is queued again" in await command(tmp_path, "emails", "retry", id)
    ended = at_home.postern.clock.now()
    shown = await at_home.until(id, "done")
    assert shown["last_event"] == "sent"
    assert [seen.recipients for seen in at_home.simulator.accepted] == [("ada@example.net",), ("bob@example.net",)]
    whole = await at_home.postern.store.get(id)
    assert whole is not None
    assert whole.attempts[1].started_at - ended < SOON


async def test_a_reply_was_lost_and_a_person_has_found_the_message(at_home: Harness, tmp_path: Path) -> None:
    """Held as unknown, found in the list, confirmed: it reads as sent, and Exchange hears nothing more of it."""
    at_home.simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop(), times=1))
    id = await at_home.post(on_unknown="hold")
    assert (await at_home.until(id, "held"))["relay"]["possible_duplicate"]
    [held] = json.loads(await command(tmp_path, "emails", "list", "--state", "held", "--json"))
    assert held["id"] == str(id)
    await command(tmp_path, "emails", "confirm", id)
    assert (await at_home.email(id))["last_event"] == "sent"
    other = await at_home.post()
    await at_home.until(other, "done")
    assert len(at_home.simulator.accepted) == 2


async def test_a_login_was_refused_and_is_mended(at_home: Harness, tmp_path: Path) -> None:
    """The mailbox is held with its reason; released by a person, its messages go by themselves."""
    at_home.simulator.faults.add(Fault(at=Point.AUTH, do=Say("535 5.7.3 Authentication unsuccessful"), times=1))
    id = await at_home.post()
    await until_held(at_home, WAIT_TIMEOUT)
    [held] = json.loads(await command(tmp_path, "mailboxes", "list", "--json"))
    assert held["health"] == "held"
    assert held["explanation"]["fix"]
    await command(tmp_path, "mailboxes", "release", MAILBOX)
    await at_home.until(id, "done")


async def test_a_mailbox_is_held_while_it_runs(at_home: Harness, tmp_path: Path) -> None:
    """Heard within a second or so; a message waits, and is cancelled before it goes."""
    await command(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", "audit")
    await until_held(at_home, SOON)
    answer = await at_home.caller.get("/mailboxes")
    assert "audit" in answer.json()["data"][0]["explanation"]["summary"]
    id = await at_home.post()
    assert await command(tmp_path, "emails", "cancel", id) == f"{id} is cancelled\n"
    answer = await at_home.caller.post(f"/mailboxes/{MAILBOX}/release")
    assert answer.status_code == 200, answer.text
    await at_home.until(await at_home.post(), "done")
    assert (await at_home.email(id))["last_event"] == "canceled"
    assert len(at_home.simulator.accepted) == 1
