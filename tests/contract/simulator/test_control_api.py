"""HTTP control API of the simulator."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.simulator import Simulator
from app.simulator.run import Ports, run
from tests.contract.simulator.client import ACCOUNT, MAILBOX, PASSWORD, Client, content
from tests.contract.simulator.conftest import Ready

RICH = (
    b"From: Contoso <noreply@contoso.com>\r\nTo: ada@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nPlain.\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>Rich.</p>\r\n"
    b"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--\r\n"
)


@pytest.fixture
async def sim() -> Simulator:
    """Simulator that `run` starts."""
    return Simulator([ACCOUNT])


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP client of the control API of a running simulator."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(sim, Ports(smtp=0, control=0), ready=address.set_result))
    async with httpx.AsyncClient(base_url=await address, trust_env=False) as client:
        yield client
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_messages_can_be_read(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """The list, one decoded message and its raw content. Refused messages are listed on request."""
    client = await ready(sim)
    await client.send(RICH)
    await client.send(content(sender="ceo@contoso.com"))
    (one,) = (await http.get("/messages")).json()
    assert (one["from"], one["to"]) == ("Contoso <noreply@contoso.com>", "ada@example.net")
    assert (one["subject"], one["mailbox"], one["size"]) == ("Grüße", MAILBOX, len(RICH))
    shown = (await http.get(f"/messages/{one['id']}")).json()
    assert (shown["text"].strip(), shown["html"].strip()) == ("Plain.", "<p>Rich.</p>")
    assert shown["attachments"] == ["a.csv"]
    assert ["To", "ada@example.net"] in shown["headers"]
    eml = await http.get(f"/messages/{one['id']}.eml")
    assert (eml.content, eml.headers["content-type"]) == (RICH, "message/rfc822")
    everything = (await http.get("/messages", params={"refused": True})).json()
    assert [seen["accepted"] for seen in everything] == [True, False]
    assert (await http.get("/messages/none")).status_code == 404


async def test_messages_can_be_waited_for(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """The response is sent when the message has arrived; after the timeout it is 504."""
    client = await ready(sim)
    waiting = asyncio.create_task(http.get("/messages", params={"count": 1, "timeout": 5}))
    await client.send()
    assert len((await waiting).json()) == 1
    late = await http.get("/messages", params={"count": 2, "timeout": 0.01})
    assert (late.status_code, late.json()) == (504, {"detail": "1 of 2 messages were accepted within 0.01 s"})


async def test_sessions_logins_and_violations(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """Sessions have no credentials; DELETE /messages deletes them."""
    client = await ready(sim)
    for _ in range(31):
        await client.send()
    (session,) = (await http.get("/sessions")).json()
    assert (session["mailbox"], session["messages"]) == (MAILBOX, 31)
    assert PASSWORD not in str(session)
    assert (await http.get("/violations")).json()[0]["what"] == "messages in 60 s: more than 30"
    assert (await http.get("/logins")).json()[0]["ok"] is True
    assert (await http.delete("/messages")).status_code == 204
    assert (await http.get("/messages")).json() == (await http.get("/violations")).json() == []


async def test_faults_can_be_set(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """One or several faults are added, all or none; they are listed with counts and removed."""
    client = await ready(sim)
    named = {"named": "concurrent_connections", "times": 1}
    assert (await http.post("/faults", json=named)).status_code == 201
    wrong = await http.post("/faults", json=[named, {"at": "dot", "do": {"action": "explode"}}])
    assert wrong.status_code == 422
    assert (await client.send()).startswith("432 4.3.2 Concurrent connections limit exceeded. ")
    (fault,) = (await http.get("/faults")).json()
    assert (fault["at"], fault["name"], fault["reached"], fault["fired"]) == ("dot", "concurrent_connections", 1, 1)
    await http.post("/faults", json={"at": "quit", "do": {"action": "drop"}})
    await http.delete("/faults", params={"name": "concurrent_connections"})
    assert [row["at"] for row in (await http.get("/faults")).json()] == ["quit"]
    await http.delete("/faults")
    assert (await http.get("/faults")).json() == []


async def test_without_graph_there_are_no_fates(http: httpx.AsyncClient) -> None:
    answer = await http.get("/fates")
    assert (answer.status_code, "--graph" in answer.json()["detail"]) == (404, True)


async def test_accounts_and_the_certificate(sim: Simulator, http: httpx.AsyncClient, clients: list[Client]) -> None:
    """A new mailbox can log in immediately; a client that trusts ca.pem can connect."""
    new = {"address": "other@contoso.com", "password": "p", "send_as": ["*"]}
    assert (await http.post("/accounts", json=new)).json() == {"address": "other@contoso.com"}
    clients.append(client := await Client.ready(sim, "other@contoso.com", "p"))
    assert (await client.send(mail_from="any@contoso.com")).startswith("250 ")
    assert (await http.get("/ca.pem")).text == sim.ca_pem
    assert (await http.get("/openapi.json")).status_code == 200
