"""Documentation page in Chromium, with and without JavaScript, at 360 px and on a desktop."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.harness import Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened(
    harness: Harness, chromium: Browser, *, scripts: bool = True, width: int = 1280, **options: Any
) -> Page:
    """Return the page in a new context, which ends with the browser."""
    context = await chromium.new_context(
        base_url=harness.postern.url,
        java_script_enabled=scripts,
        viewport={"width": width, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
        **options,
    )
    page = await context.new_page()
    page.set_default_timeout(20_000)
    await page.goto("/docs")
    return page


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_language_changes_all_samples(harness: Harness, chromium: Browser, *, scripts: bool) -> None:
    """By the keyboard too; without JavaScript there are neither a search nor copy buttons."""
    page = await opened(harness, chromium, scripts=scripts)
    await expect(page.locator("#sendEmail .sample.curl")).to_be_visible()
    await page.get_by_label("Python").focus()
    await page.keyboard.press("Space")
    for id in ("sendEmail", "listKeys"):
        await expect(page.locator(f"#{id} .sample.python")).to_be_visible()
        await expect(page.locator(f"#{id} .sample.curl")).to_be_hidden()
    assert harness.postern.url in await page.locator("#sendEmail .sample.python pre").inner_text()
    await expect(page.get_by_label("Search")).to_be_visible(visible=scripts)
    await expect(page.locator("#sendEmail .sample.python .copy")).to_be_visible(visible=scripts)
    if scripts:
        await page.reload()
        await expect(page.get_by_label("Python")).to_be_checked()


async def test_search_and_copy(harness: Harness, chromium: Browser) -> None:
    """The search hides what lacks a word; the button copies the whole sample."""
    page = await opened(harness, chromium)
    await page.get_by_label("Search").fill("scheduled email cancel")
    await expect(page.locator("#cancelEmail")).to_be_visible()
    await expect(page.locator("#listKeys")).to_be_hidden()
    await page.locator("#cancelEmail .sample.curl .copy").click()
    await expect(page.locator("#cancelEmail .sample.curl .copy")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator("#cancelEmail .sample.curl pre").text_content()
    await page.get_by_label("Search").fill("")
    await expect(page.locator("#listKeys")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_wider_than_a_phone(harness: Harness, chromium: Browser, scheme: str) -> None:
    """With all members shown."""
    page = await opened(harness, chromium, width=360, color_scheme=scheme)
    await page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
