"""Inbox pages of the simulator."""

import httpx
import pytest

from app.simulator import Simulator
from tests.contract.simulator.client import content
from tests.contract.simulator.conftest import Ready
from tests.contract.simulator.test_control_api import RICH, http, sim

__all__ = ["http", "sim"]

HOSTILE = (
    b"From: <noreply@contoso.com>\r\nTo: ada@example.net\r\nSubject: <script>alert(1)</script>\r\n"
    b"Content-Type: text/html; charset=no-such-charset\r\n\r\n"
    b'<script>top.location="http://evil.example"</script><img src="http://evil.example/a.png">\r\n'
)


async def test_an_empty_inbox_says_how_to_fill_it(sim: Simulator, http: httpx.AsyncClient) -> None:
    """With the SMTP port, and the page refreshes itself."""
    page = (await http.get("/")).text
    assert f"Send one to port {sim.port}" in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert "list.replaceChildren" in (await http.get("/inbox/refresh.js")).text


async def test_messages_are_listed_and_searched(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """Newest first; a refused one with its reply. The search covers recipients and subject, in any case."""
    client = await ready(sim)
    await client.send(RICH)
    await client.send(content(sender="ceo@contoso.com"))
    page = (await http.get("/")).text
    assert page.index('class="refused"') < page.index("Grüße")
    assert "Refused: 554 5.2.252" in page
    assert "Grüße" in (await http.get("/", params={"q": "GRÜSSE"})).text
    assert "Grüße" in (await http.get("/", params={"q": "ada@"})).text
    nothing = (await http.get("/", params={"q": "<nobody>"})).text
    assert "No message matches “&lt;nobody&gt;”." in nothing


async def test_a_message_is_shown(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """Envelope, text, header fields, attachments, source, and the HTML body in a sandboxed frame."""
    client = await ready(sim)
    await client.send(RICH)
    id = sim.messages[0].id
    page = (await http.get(f"/inbox/{id}")).text
    for text in ("Grüße", "→ ada@example.net", "Plain.", "a.csv", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "multipart/mixed"):
        assert text in page
    assert f'<iframe sandbox="" src="{id}/html"' in page
    assert (await http.get(f"/inbox/{id}/html")).text.strip() == "<p>Rich.</p>"
    assert (await http.get("/inbox/style.css")).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("path", ["/inbox/none", "/inbox/none/html"])
async def test_an_unknown_message_is_404(http: httpx.AsyncClient, path: str) -> None:
    """As in the rest of the control API."""
    assert (await http.get(path)).status_code == 404


async def test_a_hostile_message_is_isolated(sim: Simulator, http: httpx.AsyncClient, ready: Ready) -> None:
    """No script of it runs and nothing is loaded, in the frame and outside of it; its header fields are text."""
    client = await ready(sim)
    await client.send(HOSTILE)
    id = sim.messages[0].id
    for path in ("/", f"/inbox/{id}"):
        page = await http.get(path)
        assert "<script>" not in page.text
        assert page.headers["content-security-policy"].startswith(
            "default-src 'none'; style-src 'self'; script-src 'self';"
        )
    foreign = await http.get(f"/inbox/{id}/html")
    assert foreign.headers["content-security-policy"].startswith("sandbox; default-src 'none';")
    assert foreign.headers["x-content-type-options"] == "nosniff"
    assert "<script>" in foreign.text
