"""One vocabulary of states: API, console, command line and webhook event have the same word for an email."""

import asyncio
import json
import re
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from app.mail.lifecycle import LastEvent
from app.mail.webhook.rules import EventType
from app.simulator import Fault, Point, Say
from app.store.read.last_event import EVENTS
from tests.clock import autojump
from tests.contract.cli.test_command_line import postern
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.contract.message_trace.world import HOUR, TRACE_WAIT, World, world
from tests.harness import Harness
from tests.waiting import until
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver

PILL = re.compile(r'<span class="pill ([a-z_]+)">([a-z ]+)</span>')
BUSY = Say("451 4.3.2 Please try again later")


async def create_emails(here: World) -> dict[LastEvent, UUID]:
    """Create an email in each state that lasts, and wait until it has it."""
    harness = here.harness
    here.simulator.faults.add(Fault(Point.RCPT, BUSY, recipient="busy@example.net"))
    here.simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.10 Recipient not found"), recipient="gone@example.net"))
    emails = {
        LastEvent.SCHEDULED: await harness.post(scheduled_at="in 20 days"),
        LastEvent.SENT: await harness.post(to="lost@example.net"),
        LastEvent.DELIVERY_DELAYED: await harness.post(to="busy@example.net"),
        LastEvent.FAILED: await harness.post(to="gone@example.net"),
        LastEvent.CANCELED: await harness.post(scheduled_at="in 20 days"),
        LastEvent.DELIVERED: await harness.post(to="ada@example.net"),
        LastEvent.BOUNCED: await harness.post(to="bounce+5.1.1@example.net"),
    }
    await harness.caller.post(f"/emails/{emails[LastEvent.CANCELED]}/cancel")
    await here.until_delivery(emails[LastEvent.DELIVERED], "ada@example.net", "delivered")
    await here.until_delivery(emails[LastEvent.BOUNCED], "bounce+5.1.1@example.net", "bounced")
    return emails


@autojump
async def test_all_surfaces_have_the_same_words(tmp_path: Path) -> None:
    """For every state of an email that lasts; `queued` has no webhook event."""
    changes = {"console_password": SecretStr(CONSOLE_PASSWORD), "webhook_private_addresses": True}
    async with Receiver() as receiver, world(tmp_path, **changes) as here, visitor(here.harness) as operator:
        await listen(here.harness, receiver.url)
        emails = await create_emails(here)
        assert {*emails} == {*LastEvent} - {LastEvent.QUEUED}
        here.clock.jump(HOUR)  # after which a waiting email is reported as delayed
        await operator.log_in()
        rows = {one["id"]: one for one in await list_by_command(tmp_path)}
        for state, id in emails.items():
            assert (await here.harness.email(id))["last_event"] == state
            assert rows[str(id)]["event"] == rows[str(id)]["last_event"] == state
            assert (await pills(operator, f"/emails/{id}"))[0] == state

            def has_event(id: UUID = id, state: LastEvent = state) -> bool | None:
                return f"email.{state}" in {one.event["type"] for one in receiver.taken if one.email == str(id)} or None

            await until(has_event, TRACE_WAIT)
        await check_filters(here.harness, operator, emails)


async def list_by_command(folder: Path) -> list[dict[str, str]]:
    """Return the emails as `postern emails list --json` prints them."""
    result = await asyncio.to_thread(postern, folder, "emails", "list", "--json")
    rows: list[dict[str, str]] = json.loads(result.stdout)
    return rows


async def pills(operator: Operator, path: str) -> list[str]:
    """Return the states that a page shows; the words are those of the API with blanks."""
    await operator.open(path)
    found = PILL.findall(operator.page.text)
    assert all(name.replace("_", " ") == text for name, text in found)
    return [name for name, _ in found]


async def check_filters(harness: Harness, operator: Operator, emails: dict[LastEvent, UUID]) -> None:
    """Check that the API and the console find each email by its word."""
    for state, id in emails.items():
        answer = await harness.caller.get("/emails", params={"last_event": state})
        assert [one["id"] for one in answer.json()["data"]] == [str(id)]
        assert await pills(operator, f"/emails?state={state}") == [state]


def test_the_words_have_one_home() -> None:
    """Operators see the states of callers and `held`; the event of a state is `email.` and its word."""
    assert {*EVENTS} - {*LastEvent} == {"held"}
    words = {kind.removeprefix("email.") for kind in EventType if kind.startswith("email.")}
    assert {*LastEvent} - words == {LastEvent.QUEUED}
    assert words - {*LastEvent} == {"suppressed"}  # of one recipient
