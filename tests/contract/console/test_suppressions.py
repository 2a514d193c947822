"""Page of the suppression list: add, search, filter, remove, and the pages."""

from app.simulator import Fault, Point, Say
from tests.contract.console.operator import Operator
from tests.harness import Harness

HOSTILE = "<b>@example.net"


async def listed(harness: Harness) -> set[str]:
    """Return the suppressed addresses."""
    return {one["email"] for one in (await harness.caller.get("/suppressions?limit=100")).json()["data"]}


async def test_an_address_is_added_and_removed(harness: Harness, operator: Operator) -> None:
    """With a message, and an entry in the audit."""
    assert "No entries." in await operator.open("/suppressions")
    shown = await operator.submit("/suppressions", action="add", email="Anna <Anna@Example.com>")
    assert "The address is suppressed." in shown
    assert "anna@example.com manual" in shown
    assert await listed(harness) == {"anna@example.com"}
    [entry] = (await harness.caller.get("/suppressions")).json()["data"]
    assert "was removed from the list" in await operator.submit("/suppressions", action="remove", id=entry["id"])
    assert await listed(harness) == set()
    entries = (await harness.caller.get("/audit")).json()["data"]
    assert [(one["action"], one["actor"]) for one in entries[:2]] == [
        ("suppression.removed", "console"),
        ("suppression.added", "console"),
    ]


async def test_a_retry_names_the_recipients_that_stay_suppressed(harness: Harness, operator: Operator) -> None:
    """A bounce has suppressed the address of a failed email; the page says so, and how to lift it."""
    harness.simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.1 User unknown"), recipient="gone@*"))
    id = await harness.post(to=["gone@example.net"])
    await harness.until(id, "done")
    assert await listed(harness) == {"gone@example.net"}
    await operator.open(f"/emails/{id}")
    shown = await operator.submit(f"/emails/{id}", action="retry")
    assert "The email is in the queue again. Still on the suppression list, and not sent to: gone@example.net." in shown
    await harness.until(id, "done")
    assert harness.simulator.accepted == []


async def test_an_invalid_address_is_shown_again_with_the_error(harness: Harness, operator: Operator) -> None:
    """Nothing is added."""
    await operator.open("/suppressions")
    shown = await operator.submit("/suppressions", 422, action="add", email=f'{HOSTILE}"')
    assert "The address" in shown
    assert HOSTILE not in operator.page.text
    assert "It must be a UUID" in await operator.submit("/suppressions", 422, action="remove", id="x")
    assert await listed(harness) == set()


async def test_a_form_without_the_token_changes_nothing(harness: Harness, operator: Operator) -> None:
    """As on every page."""
    await operator.open("/suppressions")
    await operator.submit("/suppressions", 403, token="0" * 64, action="add", email="anna@example.com")
    assert await listed(harness) == set()


async def test_search_filter_and_pages(harness: Harness, operator: Operator) -> None:
    """An address is found in any case; the newest entry comes first."""
    emails = [f"n{number:02}@example.com" for number in range(60)]
    for email in emails:
        await harness.caller.post("/suppressions", json={"email": email})
    shown = await operator.open("/suppressions")
    assert "n59@example.com" in shown
    assert "n09@example.com" not in shown
    assert "Older" in shown
    rest = await operator.open("/suppressions", query={"after": (await oldest(harness))})
    assert "n09@example.com" in rest
    assert "Newer" in rest
    assert "n03@example.com" in await operator.open("/suppressions", query={"email": "N03@EXAMPLE.com"})
    assert "No entries." in await operator.open("/suppressions", query={"origin": "bounce"})
    assert "write it like anna@example.com" in await operator.open("/suppressions", query={"email": "nope"})
    assert "Follow the links" in await operator.open("/suppressions", query={"after": "nope"})


async def oldest(harness: Harness) -> str:
    """Return the id of the last entry of the first page."""
    data = (await harness.caller.get("/suppressions?limit=50")).json()["data"]
    return str(data[-1]["id"])
