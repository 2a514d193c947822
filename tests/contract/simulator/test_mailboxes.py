"""Simulated mail folders of Microsoft Graph: delta queries, reports about accepted mail, permissions, by plain HTTP."""

from email import message_from_bytes
from typing import Any

import pytest

from app.mail.ndr.parse import parse
from app.simulator.trace import INBOX, JUNK
from app.simulator.trace.folder import FILTER_LIMIT
from tests.contract.simulator.client import MAILBOX
from tests.contract.simulator.graph import Graph

USER = f"/v1.0/users/{MAILBOX}"
FILTER = "receivedDateTime ge 2020-01-01T00:00:00Z"
RAW = b"From: <a@example.net>\r\nSubject: Hello\r\n\r\nHello.\r\n"


async def rounds(graph: Graph, link: str = "", folder: str = INBOX, **params: str) -> tuple[list[dict[str, Any]], str]:
    """Return the entries of one round, and the link of the next one."""
    found: list[dict[str, Any]] = []
    page = await graph.get(link or f"{USER}/mailFolders/{folder}/messages/delta", **params)
    while True:
        assert page.status_code == 200, page.text
        found += page.json()["value"]
        if "@odata.deltaLink" in page.json():
            return found, page.json()["@odata.deltaLink"]
        page = await graph.get(page.json()["@odata.nextLink"])


async def test_a_delta_query(graph: Graph) -> None:
    """The first round has every message, in pages; the next one the changes since; with changeType only new ones."""
    mailboxes = graph.trace.mailboxes
    ids = [mailboxes.add(MAILBOX, RAW) for _ in range(25)]
    all_, link = await rounds(graph)
    created, created_link = await rounds(graph, changeType="created")
    assert [one["id"] for one in all_] == ids == [one["id"] for one in created]
    assert len(mailboxes.requests) == 6
    mailboxes.folder(MAILBOX, INBOX).touch(ids[0])
    mailboxes.move(MAILBOX, ids[1], INBOX, JUNK)
    new = mailboxes.add(MAILBOX, RAW)
    changes, _ = await rounds(graph, link)
    assert [(one["id"], "@removed" in one) for one in changes] == [(ids[0], False), (ids[1], True), (new, False)]
    changes, last = await rounds(graph, created_link)
    assert [one["id"] for one in changes] == [new]
    assert await rounds(graph, last) == ([], last)
    junk, _ = await rounds(graph, folder="JunkEmail")
    assert [one["id"] for one in junk] == [ids[1]]


async def test_a_filter_has_at_most_5000_messages(graph: Graph) -> None:
    """The first round of a query with $filter ends there; later rounds are complete."""
    for _ in range(FILTER_LIMIT + 3):
        graph.trace.mailboxes.add(MAILBOX, RAW)
    graph.headers["Prefer"] = "odata.maxpagesize=2000"
    found, link = await rounds(graph, **{"$filter": FILTER})
    assert len(found) == FILTER_LIMIT
    new = graph.trace.mailboxes.add(MAILBOX, RAW)
    assert [one["id"] for one in (await rounds(graph, link))[0]] == [new]
    assert len((await rounds(graph))[0]) == FILTER_LIMIT + 4
    later = "receivedDateTime ge 2200-01-01T00:00:00Z"
    assert (await rounds(graph, **{"$filter": later}))[0] == []


async def test_reports_about_accepted_mail(graph: Graph) -> None:
    """A bounce and a delay have a report in the sender's mailbox, after a time, and once."""
    mailboxes = graph.trace.mailboxes
    mailboxes.delay = 60.0
    mailboxes.reports_to = JUNK
    await graph.accept("ada@example.net", "bounce+5.1.1@example.net", "delay+450@example.net", "bounced@resend.dev")
    assert (await rounds(graph, folder=JUNK))[0] == []
    graph.clock.jump(61)
    found, link = await rounds(graph, folder=JUNK, **{"$select": "internetMessageHeaders"})
    assert len(found) == 3
    assert (await rounds(graph, link))[0] == []
    reports = []
    for one in found:
        names = {field["name"]: field["value"] for field in one["internetMessageHeaders"]}
        assert names["Content-Type"].startswith("multipart/report; report-type=delivery-status;")
        raw = (await graph.get(f"{USER}/messages/{one['id']}/$value")).content
        assert message_from_bytes(raw)["In-Reply-To"] == "<one@contoso.com>"
        reports.append(parse(raw))
    bounces = {one.recipients[0].recipient: one for one in reports if one is not None}
    assert bounces.keys() == {"bounce+5.1.1@example.net", "bounced@resend.dev"}
    (block,) = bounces["bounce+5.1.1@example.net"].recipients
    assert (block.status, block.diagnostic) == ("5.1.1", "550 5.1.1 User unknown")
    assert {one.message_id for one in bounces.values()} == {"one@contoso.com"}


async def test_header_fields_of_one_message(graph: Graph) -> None:
    """They are there if they are selected; a delta query can be without them."""
    graph.trace.mailboxes.headers_in_pages = False
    id = graph.trace.mailboxes.add(MAILBOX, RAW)
    (one,), _ = await rounds(graph, **{"$select": "internetMessageHeaders"})
    assert "internetMessageHeaders" not in one
    shown = (await graph.get(f"{USER}/messages/{id}", **{"$select": "internetMessageHeaders"})).json()
    assert {"name": "Subject", "value": "Hello"} in shown["internetMessageHeaders"]
    assert "internetMessageHeaders" not in (await graph.get(f"{USER}/messages/{id}")).json()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{USER}/mailFolders/sentitems/messages/delta", 404, "ErrorItemNotFound"),
        (f"{USER}/messages/AAkAxx=", 404, "ErrorItemNotFound"),
        ("/v1.0/users/nobody@contoso.com/mailFolders/inbox/messages/delta", 404, "ErrorInvalidUser"),
        (f"{USER}/mailFolders/inbox/messages/delta?$filter=subject eq 'x'", 400, "ErrorInvalidUrlQueryFilter"),
        (f"{USER}/mailFolders/inbox/messages/delta?$deltatoken=!", 400, "ErrorInvalidSyncStateData"),
    ],
)
async def test_errors(graph: Graph, path: str, status: int, code: str) -> None:
    """Unknown and unsupported requests are refused."""
    answer = await graph.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_permission_expiry_and_scripted_failures(graph: Graph) -> None:
    """A token is needed and the mailbox must be in scope; a lost state is 410; every request is recorded."""
    mailboxes = graph.trace.mailboxes
    url = f"{USER}/mailFolders/inbox/messages/delta"
    assert (await graph.http.get(url)).status_code == 401
    mailboxes.readable = {"other@contoso.com"}
    assert (await graph.get(url)).json()["error"]["code"] == "ErrorAccessDenied"
    mailboxes.readable = None
    _, link = await rounds(graph)
    mailboxes.expire()
    gone = await graph.get(link)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "SyncStateNotFound")
    mailboxes.fail(429, retry_after=30)
    assert (await graph.get(url)).headers["Retry-After"] == "30"
    refused = await graph.http.patch(f"{USER}/messages/AAkAxx=", headers=graph.headers, json={"isRead": True})
    assert refused.status_code == 405
    recorded = [(one.method, one.status) for one in mailboxes.requests]
    assert recorded == [("GET", 401), ("GET", 403), ("GET", 200), ("GET", 410), ("GET", 429), ("PATCH", 405)]
