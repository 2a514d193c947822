"""Commands for emails and mailboxes, with and without a running Postern."""

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
from tests.harness import ACCOUNT, MAILBOX, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT

T = TypeVar("T")

WHY = Explanation("SMTP AUTH is switched off for it.", "Set-CASMailbox -Identity noreply@contoso.com")
UNKNOWN_ID = UUID(int=1)
SOON = POLL_INTERVAL + 2.0  # seconds: the longest rest of a relay, and what a busy machine may add to it


def postern(folder: Path, *arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(application, [str(one) for one in arguments], env={"POSTERN_DATA_DIR": str(folder)})


def stored(folder: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run a query in the store of this folder."""

    async def opened() -> T:
        store = await Store.open(f"sqlite:///{folder}/postern.db")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def store_message(folder: Path, to: str) -> UUID:
    """Store a message in this state; `failed` is a message that is done and failed."""

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
    """Return the message."""
    found = stored(folder, lambda store: store.get(id))
    assert found is not None
    return found


def failed(result: Result, code: int, text: str) -> None:
    """Assert the exit code, and one line on standard error and none on standard output."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("postern: ")
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


@pytest.mark.parametrize(
    ("verb", "state", "after"),
    [
        ("retry", "held", "queued"),
        ("retry", "failed", "queued"),
        ("cancel", "queued", "cancelled"),
        ("cancel", "held", "cancelled"),
        ("confirm", "held", "done"),
    ],
)
def test_an_allowed_change(tmp_path: Path, verb: str, state: str, after: str) -> None:
    """The command prints one line with the id, and changes the state."""
    id = store_message(tmp_path, state)
    result = postern(tmp_path, "emails", verb, id)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{id} is {after}")
    assert result.output.count("\n") == 1
    assert email(tmp_path, id).state == after


@pytest.mark.parametrize(
    ("verb", "state", "text"),
    [
        ("retry", "queued", "The email is queued. Only an email that is held, or done with"),
        ("retry", "active", "The email is active. Only an email that is held, or done with"),
        ("retry", "done", "The email is done."),
        ("cancel", "active", "Only an email that is queued, deferred or held can be cancelled."),
        ("cancel", "done", "The email is done."),
        ("confirm", "queued", "Only an email that is held can be confirmed."),
    ],
)
def test_a_change_that_is_not_allowed(tmp_path: Path, verb: str, state: str, text: str) -> None:
    """The exit code is 1, the reason is printed, and nothing is changed."""
    id = store_message(tmp_path, state)
    before = email(tmp_path, id)
    failed(postern(tmp_path, "emails", verb, id), 1, text)
    assert email(tmp_path, id) == before


@pytest.mark.parametrize("verb", ["retry", "cancel", "confirm", "show"])
def test_an_unknown_email(tmp_path: Path, verb: str) -> None:
    """The exit code is 1 for an unknown id, 2 for an invalid id, 78 for a folder that has no database."""
    store_message(tmp_path, "queued")
    failed(
        postern(tmp_path, "emails", verb, UNKNOWN_ID), 1, f"there is no email {UNKNOWN_ID}; see: postern emails list"
    )
    assert postern(tmp_path, "emails", verb, "nope").exit_code == 2
    (tmp_path / "file").touch()
    failed(postern(tmp_path / "file", "emails", verb, UNKNOWN_ID), 78, f"no database of Postern at {tmp_path}/file/")


def test_held_messages_are_listed(tmp_path: Path) -> None:
    """`list --state held` lists the emails that an operator must decide about."""
    store_message(tmp_path, "failed")
    held = store_message(tmp_path, "held")
    result = postern(tmp_path, "emails", "list", "--state", "held", "--json")
    assert [(one["id"], one["state"]) for one in json.loads(result.stdout)] == [(str(held), "held")]
    assert "confirm" in postern(tmp_path, "emails", "show", held).stdout


def mailbox(folder: Path, condition: MailboxCondition | None = None) -> MailboxRecord:
    """Return the record of the mailbox, after storing the condition if one is given."""

    async def accepted_email(store: Store) -> MailboxRecord | None:
        if condition:
            await store.save_condition(MAILBOX, "default", condition)
        return await store.mailbox(MAILBOX)

    record = stored(folder, accepted_email)
    assert record is not None
    return record


def test_mailboxes_are_listed(tmp_path: Path) -> None:
    """The list has the explanation and the fix, as JSON and for people beside the rows, which are TSV."""
    store_message(tmp_path, "queued")
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
    listed = postern(tmp_path, "mailboxes", "list")
    assert listed.stdout.split("\t")[:4] == [MAILBOX, "default", "", "held"]
    assert listed.stdout.count("\n") == 1
    assert f"{MAILBOX}: {WHY.summary}\n{WHY.fix}\n" in listed.stderr
    assert "release was requested" in listed.stderr


def test_requests_to_hold_and_release_a_mailbox(tmp_path: Path) -> None:
    """The request is stored for the relay; the last one replaces earlier ones."""
    mailbox(tmp_path, MailboxCondition())
    result = postern(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", " audit \n of May ")
    assert (result.exit_code, result.output.count("\n")) == (0, 1)
    assert result.stdout.startswith(f"{MAILBOX} will be held")
    request = mailbox(tmp_path).hold_request
    assert request is not None
    assert (request.hold, request.reason) == (True, "audit of May")
    assert abs(request.at - time.time()) < WAIT_TIMEOUT
    assert postern(tmp_path, "mailboxes", "release", MAILBOX).stdout.startswith(f"{MAILBOX} will be released")
    request = mailbox(tmp_path).hold_request
    assert request is not None
    assert (request.hold, request.reason) == (False, "")


def test_invalid_requests_to_hold(tmp_path: Path) -> None:
    """The exit code is 1 for an unknown mailbox, 2 for a reason that is too long."""
    store_message(tmp_path, "queued")
    for verb in ("hold", "release"):
        failed(postern(tmp_path, "mailboxes", verb, "x@y.example"), 1, "see: postern mailboxes list")
    mailbox(tmp_path, MailboxCondition())
    result = postern(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", "x" * 201)
    assert (result.exit_code, "use at most 200" in " ".join(result.stderr.split())) == (2, True)
    assert mailbox(tmp_path).hold_request is None


# Beside a Postern that runs: the commands are processes of their own, as a person starts them.


async def command(folder: Path, *arguments: object) -> str:
    """Run a command in another process, which must succeed, and return its output."""
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
    """Simulated Office 365."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        yield simulator


@pytest.fixture
async def harness(simulator: Simulator, tmp_path: Path) -> Any:
    """Running Postern."""
    async with open_harness(simulator, settings_for(simulator, tmp_path)) as harness:
        yield harness


async def test_a_failed_email_is_retried(harness: Harness, tmp_path: Path) -> None:
    """The running relay sends a retried email within a second, only to the recipients that failed."""
    harness.simulator.faults.add(
        Fault(at=Point.RCPT, do=Say("550 5.3.0 not now"), recipient="bob@example.net", times=1)
    )
    id = await harness.post(to=["ada@example.net", "bob@example.net"])
    assert (await harness.until(id, "done"))["last_event"] == "failed"
    assert f"{id} is queued again" in await command(tmp_path, "emails", "retry", id)
    ended = harness.postern.clock.now()
    shown = await harness.until(id, "done")
    assert shown["last_event"] == "sent"
    assert [seen.recipients for seen in harness.simulator.accepted] == [("ada@example.net",), ("bob@example.net",)]
    whole = await harness.postern.store.get(id)
    assert whole is not None
    assert whole.attempts[1].started_at - ended < SOON


async def test_an_email_with_a_lost_reply_is_confirmed(harness: Harness, tmp_path: Path) -> None:
    """An email with unknown outcome is held and listed. After `confirm` it is sent, and no further attempt is made."""
    harness.simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop(), times=1))
    id = await harness.post(on_unknown="hold")
    assert (await harness.until(id, "held"))["relay"]["possible_duplicate"]
    [held] = json.loads(await command(tmp_path, "emails", "list", "--state", "held", "--json"))
    assert held["id"] == str(id)
    await command(tmp_path, "emails", "confirm", id)
    assert (await harness.email(id))["last_event"] == "sent"
    other = await harness.post()
    await harness.until(other, "done")
    assert len(harness.simulator.accepted) == 2


async def test_a_mailbox_is_released_after_a_refused_login(harness: Harness, tmp_path: Path) -> None:
    """A held mailbox has an explanation. After `release` its emails are sent."""
    harness.simulator.faults.add(Fault(at=Point.AUTH, do=Say("535 5.7.3 Authentication unsuccessful"), times=1))
    id = await harness.post()
    await harness.until_health("held")
    [held] = json.loads(await command(tmp_path, "mailboxes", "list", "--json"))
    assert held["health"] == "held"
    assert held["explanation"]["fix"]
    await command(tmp_path, "mailboxes", "release", MAILBOX)
    await harness.until(id, "done")


async def test_a_mailbox_is_held_while_postern_runs(harness: Harness, tmp_path: Path) -> None:
    """A hold takes effect within seconds. A waiting email can be cancelled."""
    await command(tmp_path, "mailboxes", "hold", MAILBOX, "--reason", "audit")
    await harness.until_health("held", SOON)
    answer = await harness.caller.get("/mailboxes")
    assert "audit" in answer.json()["data"][0]["explanation"]["summary"]
    id = await harness.post()
    assert await command(tmp_path, "emails", "cancel", id) == f"{id} is cancelled\n"
    answer = await harness.caller.post(f"/mailboxes/{MAILBOX}/release")
    assert answer.status_code == 200, answer.text
    await harness.until(await harness.post(), "done")
    assert (await harness.email(id))["last_event"] == "canceled"
    assert len(harness.simulator.accepted) == 1
