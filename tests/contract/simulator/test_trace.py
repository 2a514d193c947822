"""Simulated message trace of Microsoft Graph: rows, filters, pages, throttling and permissions, by plain HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.simulator.control_api import control_api
from app.simulator.trace import Step
from tests.contract.simulator.graph import NETWORK_ID, TRACES, Graph


def iso(at: float) -> str:
    """Return a time in a filter."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def between(low: float, high: float) -> str:
    """Return the filter of a range."""
    return f"receivedDateTime ge {iso(low)} and receivedDateTime le {iso(high)}"


async def test_a_token_of_this_resource_is_needed(graph: Graph) -> None:
    """Without a token, without the service principal or without the permission there are no rows."""
    assert (await graph.http.get(TRACES)).status_code == 401
    graph.trace.service_principal = False
    refused = await graph.get()
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "UnknownError"
    graph.trace.service_principal, graph.trace.permitted = True, False
    assert (await graph.get()).status_code == 403
    graph.trace.permitted = True
    answer = await graph.get()
    assert answer.json()["value"] == []
    assert [request.status for request in graph.trace.requests] == [401, 401, 403, 200]


async def test_filters_ignore_what_graph_ignores(graph: Graph) -> None:
    """`and`, `eq` and the wildcard of a domain work; after `or` the last condition counts; `in` and `ne` do nothing."""
    graph.trace.add(
        graph.row("ada@example.net"),
        graph.row("bob@example.org", status="failed"),
        graph.row("eve@example.org", sender="other@fabrikam.com"),
    )
    everything = {"ada@example.net", "bob@example.org", "eve@example.org"}
    domain = "senderAddress eq '*@contoso.com'"
    assert (await graph.statuses(**{"$filter": domain})).keys() == {"ada@example.net", "bob@example.org"}
    assert (await graph.statuses(**{"$filter": f"{domain} and status eq 'failed'"})).keys() == {"bob@example.org"}
    either = "recipientAddress eq 'ada@example.net' or recipientAddress eq 'bob@example.org'"
    assert (await graph.statuses(**{"$filter": either})).keys() == {"bob@example.org"}
    assert (await graph.statuses(**{"$filter": "status ne 'failed'"})).keys() == everything
    assert (await graph.statuses(**{"$select": "id", "$orderby": "subject", "$count": "true"})).keys() == everything


async def test_the_range_is_checked(graph: Graph) -> None:
    """A range needs both ends, has at most 10 days, is not in the future and not older than 90 days."""
    now, day = graph.clock.now(), 86_400
    for wrong in (
        f"receivedDateTime ge {iso(now - day)}",
        between(now - 11 * day, now),
        between(now - day, now + 60),
        between(now - 91 * day, now - 85 * day),
    ):
        assert (await graph.get(**{"$filter": wrong})).status_code == 400
    graph.trace.add(graph.row("ada@example.net", received_at=int(now - 3 * day)))
    assert await graph.statuses() == {}
    assert (await graph.statuses(**{"$filter": between(now - 4 * day, now)})).keys() == {"ada@example.net"}


async def test_pages_are_newest_first_and_complete(graph: Graph) -> None:
    """Pages have all rows once, also those of the same second, and the link of the next page is complete."""
    start = int(graph.clock.now())
    graph.trace.add(*(graph.row(f"user{n}@example.net", received_at=start - n // 3) for n in range(10)))
    page = (await graph.get(**{"$top": "4", "$filter": "senderAddress eq '*@contoso.com'"})).json()
    found, pages = list(page["value"]), 1
    while link := page.get("@odata.nextLink"):
        page = (await graph.get(link)).json()
        found, pages = found + page["value"], pages + 1
    times = [row["receivedDateTime"] for row in found]
    assert (pages, len(found), len({row["recipientAddress"] for row in found})) == (3, 10, 10)
    assert times == sorted(times, reverse=True)


async def test_more_requests_than_allowed_are_refused(graph: Graph) -> None:
    """Each call may be used 100 times in any 5 minutes; the answer to more says how long to wait."""
    graph.trace.add(graph.row("bob@example.net", status="failed", code="5.1.1", text="User unknown"))
    for _ in range(100):
        assert (await graph.get()).status_code == 200
    refused = await graph.get()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    details = await graph.get(f"{TRACES}/{NETWORK_ID}/getDetailsByRecipient(recipientAddress='bob@example.net')")
    assert "550 5.1.1 User unknown" in details.json()["value"][1]["description"]
    graph.clock.jump(301)
    assert (await graph.get()).status_code == 200


async def test_scripted_failures_and_the_services_clock(graph: Graph) -> None:
    """A scripted status is answered as often as it was asked for, and the Date is that of the service."""
    graph.trace.fail(503, times=1, retry_after=7)
    failed = await graph.get()
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "7")
    graph.trace.ahead = 3600.0
    assert (await graph.get()).headers["Date"] != failed.headers["Date"]


async def test_fates_are_set_by_http(graph: Graph) -> None:
    """Before or after the message; steps are in the order of their times, and removed ones have no effect any more."""
    address, failed = "Ada@example.net", {"status": "failed", "after": 60, "code": "5.1.1", "text": "User unknown"}
    transport = httpx.ASGITransport(app=control_api(graph.sim, graph.trace))
    async with httpx.AsyncClient(transport=transport, base_url="http://control.example") as control:
        await graph.accept("ada@example.net", "bob@example.net", "lost@example.net")
        one = {"recipient": address, "steps": [failed, {"status": "pending"}]}
        several = [{"recipient": "bob@example.net", "steps": []}, {"recipient": "lost@example.net", "steps": [failed]}]
        assert (await control.post("/fates", json=one)).status_code == 201
        assert (await control.post("/fates", json=several)).status_code == 201
        assert await graph.statuses() == {"ada@example.net": "pending"}
        graph.clock.jump(61)
        assert await graph.statuses() == {"ada@example.net": "failed", "lost@example.net": "failed"}
        shown = (await control.get("/fates")).json()
        assert [fate["recipient"] for fate in shown] == ["ada@example.net", "bob@example.net", "lost@example.net"]
        assert [step["status"] for step in shown[0]["steps"]] == ["pending", "failed"]
        await control.delete("/fates", params={"recipient": address})
        assert (await graph.statuses())["ada@example.net"] == "delivered"
        await control.delete("/fates")
        assert await graph.statuses() == {"ada@example.net": "delivered", "bob@example.net": "delivered"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipient": "ada", "steps": []},
        {"recipient": "ada@example.net"},
        {"recipient": "ada@example.net", "steps": [{"status": ""}]},
        {"recipient": "ada@example.net", "steps": [{"status": "failed", "code": "five"}]},
        {"recipient": "ada@example.net", "steps": [{"status": "failed", "text": "a\r\nb"}]},
        {"recipient": "ada@example.net", "steps": [{"status": "failed", "before": 1}]},
    ],
)
async def test_a_wrong_fate_sets_none(graph: Graph, wrong: dict[str, Any]) -> None:
    right = {"recipient": "bob@example.net", "steps": []}
    transport = httpx.ASGITransport(app=control_api(graph.sim, graph.trace))
    async with httpx.AsyncClient(transport=transport, base_url="http://control.example") as control:
        assert (await control.post("/fates", json=[right, wrong])).status_code == 422
        assert (await control.post("/fates", json=wrong)).status_code == 422
        assert (await control.get("/fates")).json() == []


async def test_rows_of_accepted_mail(graph: Graph) -> None:
    """An accepted message has a row for each recipient, late, whose status changes with time."""
    sim = graph.trace
    sim.delay = 60.0
    sim.fates["ada@example.net"] = (Step("pending"), Step("delivered", after=3600.0))
    recipients = ("ada@example.net", "bounce+5.2.2@example.net", "junk@example.net", "lost@example.net")
    await graph.accept(*recipients, "group@example.net")
    assert await graph.statuses() == {}
    graph.clock.jump(61)
    assert await graph.statuses() == {
        "ada@example.net": "pending",
        "bounce+5.2.2@example.net": "failed",
        "junk@example.net": "filteredAsSpam",
        "group@example.net": "expanded",
        "member1@example.net": "delivered",
        "member2@example.net": "delivered",
    }
    graph.clock.jump(3600)
    assert (await graph.statuses())["ada@example.net"] == "delivered"
