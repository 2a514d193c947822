"""What an operator needs: few actions for each task, pages that update themselves, and accessible pages (axe)."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from app.mail.times import HOUR
from app.simulator import Drop, Fault, Point, Say
from tests.browser.conftest import Visitor
from tests.contract.console.operator import CONSOLE_PASSWORD
from tests.harness import EMAIL, Harness
from tests.sdks import registry

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = "axe-core@4"


class CountedPage:
    """Operator that counts actions: a click, a tick, or a text with Enter."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = 0

    async def click(self, target: Locator) -> None:
        """Click a link, a button or a box."""
        self.actions += 1
        await target.click()

    async def enter(self, target: Locator, text: str) -> None:
        """Type a text and press Enter."""
        self.actions += 1
        await target.fill(text)
        await target.press("Enter")


async def log_in(visitor: Visitor, **options: Any) -> CountedPage:
    """Return an operator at the overview."""
    page = await visitor(**options)
    await page.get_by_label("Console password").fill(CONSOLE_PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    return CountedPage(page)


async def refused(harness: Harness, to: str) -> None:
    """Create a failed email."""
    harness.simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.10 RESOLVER.ADR.RecipientNotFound"), times=1))
    await harness.until(await harness.post(subject="Your receipt", to=to), "done")


async def held(harness: Harness, number: int) -> None:
    """Create emails that an operator decides about, as after a restored backup."""
    for start in range(0, number, 100):
        some = [{**EMAIL, "scheduled_at": "in 1 hour"}] * min(100, number - start)
        answer = await harness.caller.post("/emails/batch", json=some)
        assert answer.status_code == 200, answer.text
    assert await harness.postern.store.hold_waiting(harness.postern.clock.now() + 2 * HOUR) == number


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_find_an_email_and_its_reason(harness: Harness, visitor: Visitor, script: bool) -> None:
    """By a part of its recipient in two actions at most, and why it failed in three."""
    await harness.until(await harness.post(to="bob@example.net"), "done")
    await refused(harness, "clementine@example.net")
    counted = await log_in(visitor, java_script_enabled=script)
    await counted.click(counted.page.get_by_role("link", name="Emails", exact=True))
    await counted.enter(counted.page.get_by_role("searchbox"), "clem")
    await expect(counted.page.get_by_role("link", name="Your receipt")).to_have_count(1)
    assert counted.actions <= 2
    await counted.click(counted.page.get_by_role("link", name="Your receipt"))
    await expect(counted.page.get_by_text("RecipientNotFound").first).to_be_visible()
    assert counted.actions <= 3


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_confirm_300_emails(harness: Harness, visitor: Visitor, script: bool) -> None:
    """Four actions at most, and the number is shown before the last of them."""
    await held(harness, 300)
    counted = await log_in(visitor, java_script_enabled=script)
    await expect(counted.page.get_by_role("heading", level=1)).to_have_text(
        "300 emails are held until an operator decides"
    )
    await counted.click(counted.page.get_by_role("link", name="Show held emails"))
    await counted.click(counted.page.get_by_label("All that match (300)"))
    await counted.click(counted.page.get_by_role("button", name="Confirm …"))
    await expect(counted.page.get_by_role("heading", level=1)).to_have_text("Confirm 300 emails?")
    await counted.click(counted.page.get_by_role("button", name="Confirm 300 emails"))
    await expect(counted.page.get_by_role("status")).to_have_text("300 emails are confirmed as sent.")
    assert counted.actions <= 4


async def test_a_page_updates_itself(harness: Harness, visitor: Visitor) -> None:
    """What is typed, ticked, open and focused stays; the time is relative and in the reader's zone."""
    await harness.post(subject="First", scheduled_at="in 1 hour")
    page = (await log_in(visitor, timezone_id="Asia/Tokyo")).page
    await page.goto("/console/emails")
    await page.get_by_text("Search terms").click()
    await page.get_by_label("Select First").check()
    search = page.get_by_role("searchbox")
    await search.fill("not sent yet")
    await harness.post(subject="Second", scheduled_at="in 1 hour")
    await expect(page.get_by_role("link", name="Second")).to_be_visible(timeout=20_000)
    await expect(page.get_by_role("link", name="First")).to_be_visible()
    await expect(search).to_have_value("not sent yet")
    await expect(search).to_be_focused()
    await expect(page.get_by_label("Select First")).to_be_checked()
    await expect(page.get_by_label("Select Second")).not_to_be_checked()
    await expect(page.get_by_text("The API key that sent it")).to_be_visible()
    age = page.locator("td time").first
    await expect(age).to_contain_text(" ago")
    title = await age.get_attribute("title")
    assert title is not None
    assert "(Asia/Tokyo), 20" in title
    assert title.endswith(" UTC")


async def test_updates_pause_and_recover(harness: Harness, visitor: Visitor) -> None:
    """A button pauses them; a server that does not answer is reported, and the page goes on."""
    page = (await log_in(visitor)).page
    await page.goto("/console/emails")
    await page.get_by_role("button", name="Pause updates").click()
    await expect(page.get_by_role("button", name="Resume updates")).to_be_visible()
    await harness.post(subject="Later", scheduled_at="in 1 hour")
    await page.get_by_role("button", name="Resume updates").click()
    await expect(page.get_by_role("link", name="Later")).to_be_visible(timeout=20_000)
    await page.context.set_offline(True)
    await expect(page.get_by_text("The page could not be updated.")).to_be_visible(timeout=20_000)
    await page.context.set_offline(False)
    await expect(page.get_by_text("The page could not be updated.")).to_be_hidden(timeout=20_000)


async def test_a_command_is_copied(harness: Harness, visitor: Visitor) -> None:
    """The button says so. Without the script there is no button."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    await harness.post()
    await harness.until_health("held")
    page = (await log_in(visitor, permissions=["clipboard-read", "clipboard-write"])).page
    await expect(page.get_by_role("heading", level=1)).to_contain_text("cannot log in", timeout=20_000)
    await page.locator("code:text('Set-CASMailbox') + button").first.click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == "Set-CASMailbox -Identity noreply@contoso.com -SmtpClientAuthenticationDisabled $false"
    plain = (await log_in(visitor, java_script_enabled=False)).page
    await expect(plain.get_by_role("button", name="Copy")).to_have_count(0)
    await expect(plain.get_by_text("Set-CASMailbox -Identity").first).to_be_visible()


@pytest.fixture(scope="module")
def axe() -> str:
    """Source of axe, from its registry."""
    return (registry.node(AXE) / "axe-core" / "axe.min.js").read_text()


SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 780}, "is_mobile": True},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 780}, "is_mobile": True},
}


@pytest.mark.parametrize("screen", SCREENS)
async def test_no_violation_of_accessibility(harness: Harness, visitor: Visitor, axe: str, screen: str) -> None:
    """Axe finds none on /docs, the overview, the list, its empty states, and the confirmation."""
    page = (await log_in(visitor, **SCREENS[screen])).page
    check = axe_of(page, axe)
    assert await check() == []
    await page.goto("/console/emails")
    assert await check() == []
    await refused(harness, "clementine@example.net")
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    await harness.until(await harness.post(on_unknown="hold", to=["a@example.net", "b@example.net"]), "held")
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    await harness.post()
    await harness.until_health("held")
    await page.goto("/console")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("cannot log in", timeout=20_000)
    assert await check() == []
    for path in (
        "/emails",
        "/emails?q=clem",
        "/emails?q=nobody",
        "/emails?state=bounced",
        "/emails?q=lane:x",
        "/nowhere",
    ):
        await page.goto(f"/console{path}")
        assert await check() == [], path
    await page.goto("/console/emails?state=held")
    await page.get_by_label("All that match (1)").check()
    await page.get_by_role("button", name="Retry …").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Retry 1 email?")
    assert await check() == []
    await page.goto("/console")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Console password")).to_be_visible()
    assert await check() == []
    await page.goto("/docs")
    assert await check() == []


def axe_of(page: Page, source: str) -> Callable[[], Awaitable[list[str]]]:
    """Return a function that returns the violations on the page, each with its elements."""

    async def check() -> list[str]:
        await page.evaluate(source)
        found = json.loads(await page.evaluate("async () => JSON.stringify((await axe.run()).violations)"))
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']][:3]}" for one in found]

    return check
