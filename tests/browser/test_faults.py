"""Every page and action while the upstream has faults; hold and release, suppressions, and pages shown only once."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from app.http_server.server import HttpServer
from app.simulator import Delay, Drop, Fault, Point, Say
from app.simulator.control_api import control_api
from tests.browser.conftest import Visitor
from tests.browser.test_operator import SCREENS, CountedPage, axe, axe_of
from tests.browser.test_operator import log_in as log_in_counted
from tests.browser.test_sections import SCRIPTS, log_in
from tests.contract.console.operator import READ_PASSWORD
from tests.harness import MAILBOX, Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")
__all__ = ["axe"]

FAULTS = (  # each for the second, the third … of its kind, so that all of them go on at the same time
    Fault(Point.RCPT, Say("451 4.7.500 Server busy. Please try again later"), every=3),
    Fault(Point.RCPT, Say("550 5.1.10 RESOLVER.ADR.RecipientNotFound"), every=4),
    Fault(Point.ACCEPTED, Drop(), every=5),
    Fault(Point.DATA, Delay(0.2), every=2),
)
PAGES = ("", "/emails", "/keys", "/webhooks", "/suppressions", "/test", "/audit", f"/mailboxes/{MAILBOX}")
FITS = "document.documentElement.scrollWidth <= innerWidth"


async def send_mail(harness: Harness, number: int) -> list[str]:
    """Post emails with every fate; return their ids."""
    return [
        str(
            await harness.post(subject=f"No. {at}", to=f"to{at}@example.net", on_unknown=["hold", "retry_once"][at % 2])
        )
        for at in range(number)
    ]


@SCRIPTS
async def test_every_page_and_action_while_faults_go_on(
    harness: Harness, visitor: Visitor, options: dict[str, Any]
) -> None:
    """No page fails, says something to the browser's console, or keeps an email from being retried or cancelled."""
    page = await log_in(visitor, **options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("response", lambda response: said.append(response.url) if response.status >= 500 else None)
    for fault in FAULTS:
        harness.simulator.faults.add(fault)
    hook = {"endpoint": "https://hooks.example.invalid/in", "events": ["email.sent", "email.failed"]}
    webhook = (await harness.caller.post("/webhooks", json=hook)).json()["id"]
    ids = await send_mail(harness, 20)
    for path in (*PAGES, f"/webhooks/{webhook}", *(f"/emails/{id}" for id in ids[:8])):
        await page.goto(f"/console{path}")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await change_all(page, "failed", "Retry")
    await change_all(page, "held", "Confirm")
    await change_all(page, "delivery_delayed", "Cancel")
    await page.goto(f"/console/mailboxes/{MAILBOX}")
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("Checked ")).to_be_visible()
    await create_all(page)
    assert said == []


async def create_all(page: Page) -> None:
    """Create a key, a webhook and a suppression, send a test, and hold a mailbox."""
    await page.goto("/console/keys")
    await page.get_by_text("Create a key …").click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    await page.goto("/console/webhooks")
    await page.get_by_text("Create a webhook …").click()
    await page.get_by_label("Endpoint").fill("https://hooks.example.invalid/more")
    await page.get_by_label("email.sent").check()
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    await page.goto("/console/suppressions")
    await page.get_by_label("Suppress an address").fill("ada@example.net")
    await page.get_by_role("button", name="Add").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    await page.goto("/console/test")
    await page.get_by_label("From").fill(MAILBOX)
    await page.get_by_label("To", exact=True).fill("grace@example.net")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_role("heading", level=1, name="A test from Postern")).to_be_visible()
    await page.goto(f"/console/mailboxes/{MAILBOX}")
    await page.get_by_text("Hold …").click()
    await page.get_by_role("button", name="Hold", exact=True).click()
    await expect(page.get_by_role("status").first).to_have_text("The mailbox is held. Its emails wait.")


async def change_all(page: Page, state: str, action: str) -> None:
    """Change the emails in this state, if there are any."""
    await page.goto(f"/console/emails?state={state}")
    if not await page.get_by_label("All that match").count():
        return
    await page.get_by_label("All that match").check()
    await page.get_by_role("button", name=f"{action} …").click()
    button = page.get_by_role("button", name=f"{action} ")
    if await button.count():  # else their states have changed in the meantime
        for box in await page.get_by_role("checkbox").all():
            await box.check()
        await button.click()
        await expect(page.get_by_role("status").first).to_be_visible()


@SCRIPTS
async def test_release_a_mailbox_in_two_actions(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """One is enough: the button is beside the cause, and the next page has the result."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    waiting = await harness.post()
    await harness.until_health("held")
    counted = await shown_trouble(await log_in_counted(visitor, **options), "cannot log in")
    await counted.click(counted.page.get_by_role("button", name="Try the login now"))
    await expect(counted.page.get_by_role("status").first).to_contain_text("The login succeeded.")
    assert counted.actions <= 2
    await harness.until(waiting, "done")


async def shown_trouble(counted: CountedPage, words: str) -> CountedPage:
    """Reload the overview until its heading has these words. This counts as no action: the page updates itself."""
    while not await counted.page.get_by_role("heading", level=1, name=words).count():
        await counted.page.reload()
    return counted


@SCRIPTS
async def test_hold_and_release_a_mailbox(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """The reason is shown to others. The button of the overview releases the mailbox."""
    page = await log_in(visitor, **options)
    await page.goto(f"/console/mailboxes/{MAILBOX}")
    await page.get_by_text("Hold …").click()
    await page.get_by_label("Reason, shown to other operators").fill("Licence change, ticket 4711")
    await page.get_by_role("button", name="Hold", exact=True).click()
    await expect(page.get_by_role("status").first).to_have_text("The mailbox is held. Its emails wait.")
    waiting = await harness.post()
    await page.goto("/console")
    counted = await shown_trouble(CountedPage(page), "is held by an operator")
    await expect(page.get_by_text("Licence change, ticket 4711")).to_be_visible()
    await counted.click(page.get_by_role("button", name="Release", exact=True))
    await expect(page.get_by_role("status").first).to_contain_text("The login succeeded.")
    assert counted.actions <= 2
    await harness.until(waiting, "done")


@SCRIPTS
async def test_the_life_of_a_suppression(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """Added, found, in effect, and removed; a bounce enters by itself."""
    page = await log_in(visitor, **options)
    harness.simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.10 RESOLVER.ADR.RecipientNotFound"), times=1))
    await harness.until(await harness.post(to="gone@example.net"), "done")
    await page.get_by_role("link", name="Suppressions").click()
    await expect(page.get_by_role("row").filter(has_text="gone@example.net")).to_contain_text("5.1.10")
    await page.get_by_label("Suppress an address").fill("not an address")
    await page.get_by_role("button", name="Add").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Suppress an address").fill("ada@example.net")
    await page.get_by_role("button", name="Add").click()
    await expect(page.get_by_role("status").first).to_contain_text("The address is suppressed.")
    await page.get_by_label("Address", exact=True).fill("ada@example.net")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("row")).to_have_count(2)
    email = await harness.until(await harness.post(), "done")
    assert email["last_event"] == "failed"
    await page.get_by_role("button", name="Remove ada@example.net").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    sent = await harness.until(await harness.post(), "done")
    assert sent["last_event"] == "sent"


@pytest.mark.parametrize("screen", SCREENS)
async def test_pages_that_are_shown_once_are_accessible(
    harness: Harness, visitor: Visitor, axe: str, screen: str
) -> None:
    """Secrets of keys and webhooks, the connection check, and the simulator's inbox: axe finds nothing; all fit."""
    page = await log_in(visitor, **SCREENS[screen])
    check = axe_of(page, axe)

    async def is_good(name: str) -> None:
        assert await check() == [], name
        assert await page.evaluate(FITS), name

    await page.goto("/console/keys")
    await page.get_by_text("Create a key …").click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_role("button", name="Create").click()
    await is_good("secret of a key")
    await page.goto("/console/webhooks")
    await page.get_by_text("Create a webhook …").click()
    await page.get_by_label("Endpoint").fill("https://hooks.example.invalid/in")
    await page.get_by_label("email.sent").check()
    await page.get_by_role("button", name="Create").click()
    await is_good("secret of a webhook")
    await page.goto(f"/console/mailboxes/{MAILBOX}")
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("Checked ")).to_be_visible()
    await is_good("connection check")
    await harness.until(await harness.post(subject="S" * 90, html="<p lang=en>Hello</p>"), "done")
    inbox = HttpServer(control_api(harness.simulator), "127.0.0.1", 0)
    await inbox.start()
    await page.goto(inbox.url)
    await is_good("inbox")
    await page.get_by_role("link", name="SSS").click()
    await is_good("message")
    await page.goto("about:blank")  # no connection to the inbox is left
    await inbox.stop()


@pytest.mark.parametrize("screen", SCREENS)
async def test_pages_of_a_reader_are_accessible(harness: Harness, visitor: Visitor, axe: str, screen: str) -> None:
    """Each page after a log-in with the read-only password: axe finds nothing, and all fits."""
    page = await visitor(**SCREENS[screen])
    await page.get_by_label("Console password").fill(READ_PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    email = await harness.until(await harness.post(to="a-very-long-local-part-of-an-address@example.net"), "done")
    check = axe_of(page, axe)
    for path in (*PAGES, f"/emails/{email['id']}"):
        await page.goto(f"/console{path}")
        assert await check() == [], path
        assert await page.evaluate(FITS), path
