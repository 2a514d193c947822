"""List of emails: search, tabs with numbers, pages, empty states, and changes of many emails."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TypeAlias
from uuid import UUID

import pytest

from app.simulator import Drop, Fault, Point, Say
from tests.contract.console.operator import Operator
from tests.harness import EMAIL, MAILBOX, Harness

Fields: TypeAlias = dict[str, str | list[str]]


def subjects(operator: Operator) -> Sequence[str]:
    """Subjects of the listed emails, newest first."""
    rows = operator.page.text.split('data-label="Subject"')[1:]
    return [unescape(row.split("</a>")[0].rpartition(">")[2]) for row in rows]


def tabs(operator: Operator) -> dict[str, str]:
    """Numbers of the tabs by their words."""
    found = re.findall(r"<a [^>]*>([^<]*) <span class=\"count\">([^<]*)</span></a>", operator.page.text)
    return {name: number for name, number in found if number != "0"}


async def test_search(harness: Harness, operator: Operator) -> None:
    """Every term, alone and together; an invalid one shows a message."""
    sent = await harness.post(subject="A receipt", to="bob@example.net", tags=[{"name": "category", "value": "bill"}])
    await harness.until(sent, "done")
    await harness.post(subject="Later on", lane="bulk", scheduled_at="in 1 hour", **{"from": "shop@contoso.com"})
    message_id = (await harness.email(sent))["message_id"]
    today = datetime.now(UTC).date()
    for query, found in (
        ({}, ["Later on", "A receipt"]),
        ({"state": "sent"}, ["A receipt"]),
        ({"q": "sent"}, ["A receipt"]),
        ({"q": "event:scheduled"}, ["Later on"]),
        ({"q": "bob"}, ["A receipt"]),
        ({"q": "BOB@example.net"}, ["A receipt"]),
        ({"q": "to:ada"}, ["Later on"]),
        ({"q": "from:shop@contoso.com lane:bulk"}, ["Later on"]),
        ({"q": 'subject:"later on"'}, ["Later on"]),
        ({"q": "tag:category:bill"}, ["A receipt"]),
        ({"q": "key:POSTERN_API_KEY"}, ["Later on", "A receipt"]),
        ({"q": str(sent)}, ["A receipt"]),
        ({"q": message_id}, ["A receipt"]),
        ({"q": "since:1h"}, ["Later on", "A receipt"]),
        ({"q": "until:1h"}, []),
        ({"since": f"{today - timedelta(1)}", "until": f"{today + timedelta(1)}"}, ["Later on", "A receipt"]),
        ({"since": f"{today + timedelta(2)}"}, []),
        ({"until": f"{today - timedelta(2)}"}, []),
        ({"q": "lane:urgent"}, []),
        ({"q": "bob", "state": "scheduled"}, []),
    ):
        await operator.open("/emails", query=query)
        assert subjects(operator) == found, query
    for query, words in (
        ({"q": "from:bob"}, "from:bob: The address has no @"),
        ({"state": "x"}, "State: It must be one of held, "),
        ({"q": "lane:x"}, "lane:x: It must be one of urgent, normal, bulk."),
        ({"q": "subject:" + "x" * 201}, "It must be 1 to 200 characters"),
        ({"q": "key:nobody"}, "There is no key nobody"),
        ({"after": "x"}, "After: It must be the id of an email"),
        ({"since": "soon"}, "Since: It must be an age"),
    ):
        assert words in await operator.open("/emails", query=query)
        assert subjects(operator) == []


async def test_tabs(harness: Harness, operator: Operator) -> None:
    """Each state has its number, also of a search; an event in the search text opens its tab."""
    for number in range(3):
        await harness.post(subject=f"No. {number}", to=f"to-{number}@example.net", scheduled_at="in 1 hour")
    await harness.until(await harness.post(), "done")
    await operator.open("/emails")
    assert tabs(operator) == {"All": "4", "Scheduled": "3", "Sent": "1"}
    await operator.open("/emails", query={"q": "to- scheduled"})
    assert tabs(operator) == {"All": "3", "Scheduled": "3"}
    assert 'name="q" value="to-"' in operator.page.text
    assert 'name="state" value="scheduled"' in operator.page.text


async def test_empty_states(harness: Harness, operator: Operator) -> None:
    """They say what to do next: send a first email, what a state means, how to search."""
    assert "No emails yet" in await operator.open("/emails")
    assert "Authorization: Bearer $KEY" in operator.shows
    assert "Message trace and confirm, retry or cancel" in await operator.open("/emails", query={"state": "held"})
    assert "An address is searched from its beginning" in await operator.open("/emails", query={"q": "ada"})


async def test_the_columns(harness: Harness, operator: Operator) -> None:
    """The name of the API key, the number of recipients, and the age with UTC on hover."""
    await harness.post(to=["ada@example.net", "bob@example.net", "eve@example.net"], scheduled_at="in 1 hour")
    shown = await operator.open("/emails")
    assert "ada@example.net +2 more" in shown
    assert "POSTERN_API_KEY" in shown
    assert re.search(r'<time datetime="[^"]+" title="[0-9: -]+ UTC" data-relative>\d+ s ago</time>', operator.page.text)


async def test_pages_of_the_list(harness: Harness, operator: Operator) -> None:
    """The links Older and Newer lead through all emails and back, and preserve the search."""
    for number in range(120):
        await harness.post(subject=f"No. {number:03}", scheduled_at="in 1 hour")
    seen: list[str] = []
    await operator.open("/emails", query={"state": "scheduled", "q": "ada"})
    for _ in range(2):
        seen += subjects(operator)
        await operator.follow("next")
    seen += subjects(operator)
    assert seen == [f"No. {number:03}" for number in reversed(range(120))]
    assert 'rel="next"' not in operator.page.text
    await operator.follow("prev")
    assert subjects(operator) == seen[50:100]
    await operator.follow("prev")
    assert subjects(operator) == seen[:50]
    assert "state=scheduled" in str(operator.page.url)
    assert "q=ada" in str(operator.page.url)


async def in_doubt(harness: Harness, number: int) -> list[UUID]:
    """Create held emails whose connections were lost after the final dot."""
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=number))
    ids = [await harness.post(on_unknown="hold", subject=f"Lost {n}") for n in range(number)]
    for id in ids:
        await harness.until(id, "held")
    return ids


async def states(harness: Harness, ids: Sequence[UUID]) -> list[str]:
    """Return the last events of emails."""
    return [(await harness.email(id))["last_event"] for id in ids]


async def test_selected_emails_are_confirmed(
    harness: Harness, operator: Operator, capfd: pytest.CaptureFixture[str]
) -> None:
    """A page with their number asks first; each change is logged and in the audit."""
    one, two, three = await in_doubt(harness, 3)
    await operator.open("/emails", query={"state": "held"})
    selected: Fields = {"state": "held", "id": [str(one), str(two)], "action": "confirm"}
    shown = await operator.submit("/emails/change", **selected)
    assert "Confirm 2 emails?" in shown
    assert "sent" not in await states(harness, [one, two])
    shown = await operator.submit("/emails/change", confirmed="yes", **selected)
    assert "2 emails are confirmed as sent." in shown
    assert subjects(operator) == ["Lost 2"]
    assert await states(harness, [one, two]) == ["sent", "sent"]
    assert (await harness.email(three))["relay"]["state"] == "held"
    assert len([line for line in capfd.readouterr().err.splitlines() if "email.confirmed" in line]) == 2
    shown = await operator.open("/audit")
    for id in (one, two):
        assert f"console email.confirmed {id}" in shown


async def test_all_matching_emails_are_cancelled(harness: Harness, operator: Operator) -> None:
    """Beyond the page too, but not those that do not match or were accepted after the page."""
    for number in range(60):
        await harness.post(subject=f"No. {number}", to="old@example.net", scheduled_at="in 1 hour")
    other = await harness.post(scheduled_at="in 1 hour")
    await operator.open("/emails", query={"q": "old"})
    [newest] = re.findall('name="newest" value="([^"]+)"', operator.page.text)
    later = await harness.post(to="old@example.net", scheduled_at="in 1 hour")
    fields: Fields = {"q": "old", "all": "yes", "newest": newest, "action": "cancel"}
    assert "Cancel 60 emails?" in await operator.submit("/emails/change", **fields)
    shown = await operator.submit("/emails/change", confirmed="yes", **fields)
    assert "60 emails are cancelled." in shown
    assert tabs(operator) == {"All": "61", "Scheduled": "1", "Canceled": "60"}
    assert await states(harness, [other, later]) == ["scheduled", "scheduled"]


async def test_failed_emails_are_retried(harness: Harness, operator: Operator) -> None:
    """The others that are selected stay as they are, and the page says how many."""
    harness.simulator.faults.add(Fault(Point.RCPT, Say("550 5.7.1 Refused by policy"), times=2))
    failed = [await harness.post(subject=f"No. {number}") for number in range(2)]
    for id in failed:
        await harness.until(id, "done")
    scheduled = await harness.post(scheduled_at="in 1 hour")
    await operator.open("/emails")
    fields: Fields = {"id": [str(id) for id in (*failed, scheduled)], "action": "retry"}
    shown = await operator.submit("/emails/change", **fields)
    assert "Retry 2 emails?" in shown
    assert "1 of the 3 selected emails cannot be changed in this way" in shown
    assert "2 emails are in the queue again." in await operator.submit("/emails/change", confirmed="yes", **fields)
    for id in failed:
        await harness.until(id, "done")
    assert await states(harness, [*failed, scheduled]) == ["sent", "sent", "scheduled"]


async def test_a_retry_that_may_duplicate_needs_a_ticked_box(harness: Harness, operator: Operator) -> None:
    """Without it nothing is sent."""
    ids = await in_doubt(harness, 2)
    await operator.open("/emails", query={"state": "held"})
    fields: Fields = {"state": "held", "all": "yes", "action": "retry"}
    assert "2 of them may have arrived already." in await operator.submit("/emails/change", **fields)
    shown = await operator.submit("/emails/change", 400, confirmed="yes", **fields)
    assert "Some of the emails may have arrived already." in shown
    assert (await harness.email(ids[0]))["relay"]["state"] == "held"
    await operator.open("/emails")
    await operator.submit("/emails/change", confirmed="yes", checked="yes", **fields)
    for id in ids:
        await harness.until(id, "done")


async def test_invalid_changes(harness: Harness, operator: Operator) -> None:
    """Each is refused with a message, and changes nothing."""
    id = await harness.post(scheduled_at="in 1 hour")
    refused: Sequence[tuple[Fields, int, str]] = (
        ({"action": "explode", "all": "yes"}, 400, "The only actions for emails"),
        ({"action": "cancel"}, 400, "No email is selected."),
        ({"action": "cancel", "id": "x"}, 400, "No email is selected."),
        ({"action": "cancel", "all": "yes", "q": "lane:x"}, 400, "lane:x: It must be"),
        ({"action": "confirm", "id": str(id)}, 200, "None of the 1 selected emails can be changed"),
        ({"action": "confirm", "id": str(id), "confirmed": "yes"}, 200, "0 emails are confirmed as sent."),
        ({"action": "cancel", "all": "yes", "confirmed": "yes", "token": "x"}, 403, "belongs to another session"),
    )
    for fields, status, words in refused:
        await operator.open("/emails")
        assert words in await operator.submit("/emails/change", status, **fields), fields
    assert (await harness.email(id))["last_event"] == "scheduled"


async def test_an_email_that_changed_in_the_meantime(harness: Harness, operator: Operator) -> None:
    """It is not counted."""
    one, two = await in_doubt(harness, 2)
    fields: Fields = {"id": [str(one), str(two)], "action": "confirm"}
    await operator.open("/emails")
    assert "Confirm 2 emails?" in await operator.submit("/emails/change", **fields)
    await operator.submit(f"/emails/{one}", action="cancel")
    shown = await operator.submit("/emails/change", confirmed="yes", **fields)
    assert "1 email is confirmed as sent." in shown
    assert await states(harness, [one, two]) == ["canceled", "sent"]


def test_the_defaults_of_the_harness() -> None:
    """The searches above rely on them."""
    assert (EMAIL["from"], EMAIL["to"]) == (MAILBOX, "ada@example.net")
