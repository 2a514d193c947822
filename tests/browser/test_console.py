"""Console in a real browser: works without JavaScript, and runs no injected code with JavaScript enabled."""

from urllib.parse import urlencode
from uuid import UUID

import pytest
from playwright.async_api import Page, Route, expect

from app.simulator import Drop, Fault, Point, Say
from tests.browser.conftest import Visitor
from tests.contract.console.operator import CONSOLE_PASSWORD
from tests.harness import MAILBOX, Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROBES = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "' autofocus onfocus='document.title=`owned`' x='",
    "{{ 7 * 7 }}{% raw %}",
)
PHONE = {"viewport": {"width": 360, "height": 780}, "is_mobile": True}


async def log_in(page: Page, password: str = CONSOLE_PASSWORD) -> Page:
    """Log in at the login page."""
    await page.get_by_label("Console password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    return page


async def held(harness: Harness, page: Page) -> UUID:
    """Create an email that waits for a held mailbox, and wait until the overview shows the mailbox."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    id = await harness.post(subject="It waits")
    while not await page.get_by_role("heading", name="cannot log in").count():
        await page.reload()
    return id


async def test_an_operators_session(harness: Harness, visitor: Visitor) -> None:
    """Log in, release a held mailbox, retry a failed email and log out, all without JavaScript."""
    page = await visitor(java_script_enabled=False)
    await log_in(page, "not-the-password")
    await expect(page.get_by_role("alert")).to_have_text("The password is wrong.")
    await log_in(page)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("All is well")
    waiting = await held(harness, page)
    await page.get_by_role("link", name="Open the mailbox").click()
    await expect(page.get_by_text(f"Set-CASMailbox -Identity {MAILBOX}")).to_be_visible()
    await page.get_by_role("button", name="Try the login now").click()
    await expect(page.get_by_role("status")).to_contain_text("The login succeeded. The mailbox relays again.")
    await harness.until(waiting, "done")
    await retry_a_failed_email(harness, page)
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Console password")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_label("Console password")).to_be_visible()


async def retry_a_failed_email(harness: Harness, page: Page) -> None:
    """Find the email by its state, read its dialogue and retry it."""
    harness.simulator.faults.add(Fault(Point.RCPT, Say("550 5.7.1 Refused by policy"), times=1))
    failed = await harness.post(subject="Your receipt")
    await harness.until(failed, "done")
    await page.get_by_role("link", name="Emails").click()
    await page.get_by_role("navigation", name="State").get_by_role("link", name="Failed").click()
    await page.get_by_role("link", name="Your receipt").click()
    await expect(page.locator(".dialogue")).to_contain_text("S: 550 5.7.1 Refused by policy")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_have_text("The email is in the queue again.")
    email = await harness.until(failed, "done")
    assert email["last_event"] == "sent"


async def test_a_retry_that_may_duplicate_needs_a_ticked_box(harness: Harness, visitor: Visitor) -> None:
    """The browser does not submit the form without it."""
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    id = await harness.post(on_unknown="hold")
    await harness.until(id, "held")
    page = await log_in(await visitor())
    await expect(page.get_by_role("heading", level=1, name="1 email is held until an operator decides")).to_be_visible()
    await page.goto(f"/console/emails/{id}")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("checkbox")).to_be_focused()
    assert (await harness.email(id))["relay"]["state"] == "held"
    await page.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Retry").click()
    await harness.until(id, "done")
    assert len(harness.simulator.messages) == 2


async def test_foreign_text_is_not_executed(harness: Harness, visitor: Visitor) -> None:
    """Markup in subjects, names, replies and reasons is shown as text, and no page violates its own policy."""
    page = await log_in(await visitor())
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    harness.simulator.faults.add(Fault(Point.RCPT, Say(f"550 5.1.10 {PROBES[0]} {PROBES[1]}"), times=1))
    file = {"filename": PROBES[1], "content": "AAAA"}
    id = await harness.post(subject=" ".join(PROBES), attachments=[file], **{"from": f'"{PROBES[3]}" <{MAILBOX}>'})
    await harness.until(id, "done")
    await harness.caller.post(f"/mailboxes/{MAILBOX}/hold", json={"reason": PROBES[0] + PROBES[2]})
    for path in ("", "/emails", f"/emails/{id}", f"/mailboxes/{MAILBOX}", "/webhooks", "/suppressions", "/audit"):
        await page.goto(f"/console{path}")
        assert await page.title() != "owned"
        assert await page.locator("script:not([src]), svg:not(.spark), [onerror], [onfocus], [onload]").count() == 0
    await page.goto("/console/emails?" + urlencode(dict.fromkeys(("q", "state", "since", "until"), PROBES[2])))
    assert await page.locator("svg").count() == 0
    await expect(page.get_by_role("searchbox")).to_have_value(PROBES[2])
    assert said == []


@pytest.mark.parametrize(
    "origin", ["http://elsewhere.example", "http://127.0.0.1:9"], ids=["another site", "another port"]
)
async def test_another_page_cannot_submit_a_form(harness: Harness, visitor: Visitor, origin: str) -> None:
    """A form on another page does nothing, even if it is on the same site and the browser sends the cookie."""
    await harness.until(await harness.post(), "done")
    page = await log_in(await visitor())
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    target = f"{harness.postern.url}/console/mailboxes/{MAILBOX}"
    evil = f"<form method=post action='{target}'><input name=action value=hold><button>Win a prize</button></form>"

    async def serve(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=evil)

    await page.route(f"{origin}/**", serve)
    await page.goto(f"{origin}/prize")
    async with page.expect_navigation() as answer:
        await page.get_by_role("button", name="Win a prize").click()
    response = await answer.value
    assert response is not None
    assert response.status == 403
    await expect(page.get_by_text("belongs to another session")).to_be_visible()
    assert harness.mailbox.is_open


async def test_a_link_on_another_site(harness: Harness, visitor: Visitor) -> None:
    """The browser omits the cookie at first, and an operator who is logged in still gets the page."""
    page = await log_in(await visitor(java_script_enabled=False))
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    link = f"<a href='{harness.postern.url}/console/emails?state=held'>it is held</a>"

    async def serve(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=link)

    await page.route("http://elsewhere.example/**", serve)
    await page.goto("http://elsewhere.example/alert")
    await page.get_by_role("link", name="it is held").click()
    await expect(page.get_by_role("link", name="Held")).to_have_attribute("aria-current", "page")
    await page.goto("/console")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("All is well")


FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PALE = """
() => {
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const colour = s => s.match(/[\\d.]+/g).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor);
                        if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const pale = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(colour(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) pale.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  return pale;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone(harness: Harness, visitor: Visitor, scheme: str) -> None:
    """No page is wider than the screen, and all text has a contrast of at least 4.5 to 1 (WCAG 2)."""
    page = await log_in(await visitor(color_scheme=scheme, **PHONE))
    await harness.post(
        subject="A" * 300, lane="bulk", scheduled_at="in 1 hour", to=f"{'a' * 60}@{'b' * 60}.example.net"
    )
    id = await held(harness, page)
    body = {"endpoint": f"https://{'c' * 60}.example.net/{'d' * 200}", "events": ["email.sent"]}
    await harness.caller.post("/webhooks", json=body)
    await harness.caller.post(f"/mailboxes/{MAILBOX}/hold", json={"reason": "e" * 200})
    await harness.caller.post("/suppressions", json={"email": f"{'f' * 60}@{'g' * 60}.example.net"})
    for path in (
        "",
        "/emails",
        f"/emails/{id}",
        "/webhooks",
        "/suppressions",
        "/audit",
        "/nowhere",
        f"/mailboxes/{MAILBOX}",
    ):
        await page.goto(f"/console{path}")
        assert await page.evaluate(FITS), path
        assert await page.evaluate(PALE) == [], path
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("Checked 0 s ago.")).to_be_visible()
    assert await page.evaluate(FITS)
    assert await page.evaluate(PALE) == []
