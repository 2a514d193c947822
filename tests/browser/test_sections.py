"""Pages of keys, webhooks, suppressions, test emails and the audit: every action, with and without JavaScript."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from app.simulator import Drop, Fault, Point
from tests.browser.conftest import Visitor
from tests.browser.test_operator import SCREENS, axe, axe_of
from tests.browser.test_operator import log_in as log_in_counted
from tests.harness import MAILBOX, Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")
__all__ = ["axe"]

SCRIPTS = pytest.mark.parametrize(
    "options", [{}, {"java_script_enabled": False}], ids=["with JavaScript", "without JavaScript"]
)


async def log_in(visitor: Visitor, **options: Any) -> Page:
    """Return the overview of an operator."""
    return (await log_in_counted(visitor, **options)).page


@SCRIPTS
async def test_the_life_of_a_key(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """Created, used, changed, rotated and revoked. Its secret is shown once."""
    page = await log_in(visitor, **options)
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_text("Create a key …").click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_text("Senders, recipients, lanes").click()
    await page.get_by_label("Senders").fill("nowhere")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("alert")).to_contain_text("senders: ")
    await expect(page.get_by_label("Name")).to_have_value("shop")
    await page.get_by_label("Senders").fill("*@contoso.com")
    await page.get_by_role("button", name="Create").click()
    first = await page.locator("main code").first.inner_text()
    assert (await send(harness, first)) == 200
    await page.get_by_role("link", name="go to the key").click()
    assert first not in await page.content()
    await page.get_by_text("Limits", exact=True).click()
    await page.get_by_label("Messages a day").fill("1")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_contain_text("The key is changed.")
    await page.get_by_text("Rotate the secret …").click()
    await page.get_by_label("The old secret ends").select_option("at once")
    await page.get_by_role("button", name="Rotate").click()
    second = await page.locator("main code").first.inner_text()
    assert second != first
    await page.get_by_role("link", name="go to the key").click()
    await page.get_by_text("Revoke …").click()
    await page.get_by_role("button", name="Revoke permanently").click()
    await expect(page.get_by_role("status")).to_contain_text("The key is revoked.")
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    [key] = [one for one in (await harness.caller.get("/keys")).json()["data"] if one["name"] == "shop"]
    assert (key["messages_per_day"], key["senders"], bool(key["revoked_at"])) == (1, ["*@contoso.com"], True)


async def send(harness: Harness, key: str) -> int:
    """Return the status of an email that is sent with this key."""
    email = {"from": MAILBOX, "to": "ada@example.net", "subject": "Hello", "text": "Hi"}
    answer = await harness.caller.post("/emails", json=email, headers={"authorization": f"Bearer {key}"})
    return answer.status_code


@SCRIPTS
async def test_the_life_of_a_webhook(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """Created, changed, disabled and enabled, its events replayed, its secret rotated, and removed."""
    page = await log_in(visitor, **options)
    await page.get_by_role("link", name="Webhooks").click()
    await page.get_by_text("Create a webhook …").click()
    await page.get_by_label("Endpoint").fill("http://127.0.0.1/in")
    await page.get_by_label("email.sent").check()
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("alert")).to_contain_text("endpoint: ")
    await page.get_by_label("Endpoint").fill("https://hooks.example.invalid/in")
    await page.get_by_role("button", name="Create").click()
    secret = await page.locator("main code").first.inner_text()
    assert secret.startswith("whsec_")
    await page.get_by_role("link", name="Go to the webhook").click()
    await harness.until(await harness.post(), "done")
    for button, words in (("Disable", "is disabled"), ("Enable", "is enabled")):
        await page.get_by_role("button", name=button).click()
        await expect(page.get_by_role("status")).to_contain_text(words)
    await page.get_by_text("Send failed events again …").click()
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("status")).to_have_text("0 failed events are sent again.")
    await page.get_by_role("link", name="email.sent").first.click()
    await expect(page.get_by_role("heading", name="Payload")).to_be_visible()
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("status")).to_contain_text("with the same id")
    await page.get_by_role("link", name="https://hooks.example.invalid/in").click()
    await page.get_by_text("Signing secret …").click()
    await page.get_by_role("button", name="Rotate the secret").click()
    assert await page.locator("main code").first.inner_text() != secret
    await page.get_by_role("link", name="Go to the webhook").click()
    await page.get_by_text("Remove …").click()
    await page.get_by_role("button", name="Remove permanently").click()
    await expect(page.get_by_role("status")).to_have_text("The webhook is removed.")
    assert (await harness.caller.get("/webhooks")).json()["data"] == []


@SCRIPTS
async def test_a_test_email_and_its_timeline(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """It is sent as the chosen key; the audit leads back to it."""
    page = await log_in(visitor, **options)
    await page.get_by_role("link", name="Send a test").click()
    await page.get_by_label("From").fill("somebody@evil.example")
    await page.get_by_label("To").fill("ada@example.net bob@example.net")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("alert")).to_contain_text("may not be used as a sender")
    await page.get_by_label("From").fill(MAILBOX)
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("status")).to_contain_text("The test email is accepted.")
    await expect(page.locator(".step").first).to_contain_text("with the API key POSTERN_API_KEY from 127.0.0.1")
    while not await page.locator(".step", has_text="Sent").count():
        await page.reload()
    assert harness.simulator.messages[0].recipients == ("ada@example.net", "bob@example.net")
    await page.get_by_role("link", name="Audit").click()
    row = page.get_by_role("row").filter(has_text="email.tested")
    await row.get_by_role("link").last.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("A test from Postern")


@SCRIPTS
async def test_actions_for_an_email(harness: Harness, visitor: Visitor, options: dict[str, Any]) -> None:
    """A scheduled email is sent now; one in doubt is confirmed; one that waits is cancelled."""
    page = await log_in(visitor, **options)
    later = await harness.post(scheduled_at="in 1 hour")
    await page.goto(f"/console/emails/{later}")
    await page.get_by_role("button", name="Send now").click()
    await expect(page.get_by_role("status")).to_have_text("The email is sent now.")
    await harness.until(later, "done")
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    doubt = await harness.post(on_unknown="hold")
    await harness.until(doubt, "held")
    await page.goto(f"/console/emails/{doubt}")
    await page.get_by_text("Commands …").click()
    await expect(page.get_by_text(f"postern emails confirm {doubt}").last).to_be_visible()
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("status")).to_have_text("The email counts as sent.")
    waits = await harness.post(scheduled_at="in 1 hour")
    await page.goto(f"/console/emails/{waits}")
    await page.get_by_text("Cancel …").click()
    await page.get_by_role("button", name="Cancel permanently").click()
    await expect(page.get_by_role("status")).to_contain_text("is cancelled")


async def test_the_present_section_is_in_view_on_a_phone(visitor: Visitor) -> None:
    """The navigation is wider than the screen."""
    page = await log_in(visitor, viewport={"width": 360, "height": 740})
    await page.goto("/console/audit")
    await expect(page.get_by_role("navigation").get_by_role("link", name="Audit")).to_be_in_viewport()


@pytest.mark.parametrize("screen", SCREENS)
async def test_no_violation_of_accessibility(harness: Harness, visitor: Visitor, axe: str, screen: str) -> None:
    """Axe finds none, and no page is wider than its screen."""
    page = await log_in(visitor, **SCREENS[screen])
    check, call = axe_of(page, axe), harness.caller
    hook = {"endpoint": f"https://hooks.example.invalid/{'d' * 200}", "events": ["email.sent"]}
    webhook = (await call.post("/webhooks", json=hook)).json()["id"]
    key = (await call.post("/keys", json={"name": "k" * 90, "messages_per_day": 10})).json()["id"]
    await call.post("/suppressions", json={"email": f"{'f' * 60}@{'g' * 60}.example.net"})
    file = {"filename": f"{'n' * 80}.pdf", "content": "AAAA"}
    email = await harness.post(subject="S" * 200, html="<p>Hello</p>", attachments=[file])
    await harness.until(email, "done")
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    doubt = await harness.post(on_unknown="hold")
    await harness.until(doubt, "held")
    event = (await call.get(f"/webhooks/{webhook}/events")).json()["data"][0]["id"]
    for path in (
        *("/keys", f"/keys/{key}", "/webhooks", f"/webhooks/{webhook}", f"/webhooks/{webhook}/events/{event}"),
        *("/suppressions", "/test", "/audit", f"/mailboxes/{MAILBOX}"),
        *(f"/emails/{email}", f"/emails/{doubt}", f"/emails/{email}/preview/html"),
    ):
        await page.goto(f"/console{path}")
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert await check() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
