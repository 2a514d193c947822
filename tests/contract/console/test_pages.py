"""Pages and forms of the console, over a complete Postern with real faults."""

import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.mail.times import DAY
from app.settings.credential import CLOUDS
from app.simulator import Drop, Fault, Point, Say, Simulator
from tests import waiting
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.harness import ACCOUNT, EMAIL, MAILBOX, Harness, open_harness, settings_for

PROBE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`&"


async def until(operator: Operator, path: str, words: str, status: int = 200) -> str:
    """Reload the page until it contains these words, and return its text."""

    async def shown() -> str | None:
        operator.page = await operator.client.get(f"/console{path}")
        return operator.shows if words in operator.shows and operator.page.status_code == status else None

    return await waiting.until(shown)


async def held(harness: Harness, operator: Operator) -> UUID:
    """Create an email that waits for a held mailbox, and return its id."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    id = await harness.post(subject="It waits")
    await until(operator, "", f"{MAILBOX} cannot log in")
    return id


async def test_all_is_well(harness: Harness, operator: Operator) -> None:
    """The overview says so, and shows the usage of the mailbox's limits."""
    await harness.until(await harness.post(), "done")
    shown = await until(operator, "", "at most 1 of 30 a minute")
    assert "All is well · emails are accepted and sent" in shown
    assert "1 of 10,000 recipients" in shown
    assert "1 Accepted 1 Sent 0 Delivered 0 Failed 0 Bounced 0 Waiting now 0 Held now" in shown
    assert "No email is waiting, being sent or held." in shown
    assert "Credentials that expire soon 2026-12-31 00:00:00 UTC : the password of noreply@contoso.com" in shown


async def test_the_numbers_of_the_day_lead_to_their_lists(harness: Harness, operator: Operator) -> None:
    """Each list has as many emails as its number says."""
    harness.simulator.faults.add(Fault.named("bad_recipient"))
    for name in ("ada", "nobody", "grace"):
        await harness.until(await harness.post(to=f"{name}@example.net"), "done")
    shown = await until(operator, "", "3 Accepted 2 Sent 0 Delivered 1 Failed")
    assert "1 email failed in the last day" in shown
    links = dict(
        re.findall(r'<a href="console(/emails[^"]*since[^"]*)"><span class="figure">(\d+)<', operator.page.text)
    )
    assert [*links.values()] == ["3", "2", "0", "1", "0"]
    for path, number in links.items():
        await operator.open(unescape(path))
        assert operator.page.text.count('<tr id="email-') == int(number)
        assert re.search(rf'aria-current="page">\w+ <span class="count">{number}<', operator.page.text)


async def test_a_held_mailbox_is_shown_and_released(harness: Harness, operator: Operator) -> None:
    """The cause is shown before the fix; after the release the waiting email is sent."""
    id = await held(harness, operator)
    shown = await until(operator, "", "normal default 1 0 0 0")
    assert shown.index("is switched off for this mailbox") < shown.index(f"Set-CASMailbox -Identity {MAILBOX}")
    shown = await operator.open(f"/mailboxes/{MAILBOX}")
    assert "held in the pool default" in shown
    assert f"Set-CASMailbox -Identity {MAILBOX}" in shown
    shown = await operator.open(f"/emails/{id}")
    assert "Mailbox noreply@contoso.com has been held since" in shown
    assert "Sending by SMTP is switched off" in shown
    assert "Position 1 in its queue" in shown
    assert "now Waiting until a mailbox of its pool can send" in shown
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}", action="release")
    assert "The login succeeded. The mailbox relays again." in shown
    assert "open in the pool default" in shown
    await harness.until(id, "done")


async def test_a_login_that_fails_again_is_shown(harness: Harness, operator: Operator) -> None:
    """The page waits for the login, and shows that the mailbox is still held."""
    await held(harness, operator)
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}", action="release")
    assert "The login failed again." in shown
    assert "held in the pool default" in shown


async def test_holding_a_mailbox(harness: Harness, operator: Operator) -> None:
    """The reason is shown to other operators, escaped."""
    await harness.until(await harness.post(), "done")
    await operator.open(f"/mailboxes/{MAILBOX}")
    await operator.submit(f"/mailboxes/{MAILBOX}", action="hold", reason=f"audit {PROBE}")
    shown = await until(operator, f"/mailboxes/{MAILBOX}", "held in the pool default")
    assert f"An operator holds the mailbox: audit {PROBE}." in shown
    assert "<script>" not in operator.page.text
    await until(operator, "", f"{MAILBOX} is held by an operator")  # the readiness is cached for a second
    await operator.open(f"/mailboxes/{MAILBOX}")
    assert "an operator holds the mailbox" in await operator.submit(f"/mailboxes/{MAILBOX}/examine")


async def test_invalid_hold_requests(operator: Operator) -> None:
    """Each is refused with a message."""
    await operator.open(f"/mailboxes/{MAILBOX}")
    for fields, words in (
        ({"action": "explode"}, "The only actions for a mailbox"),
        ({"action": "hold", "reason": "x" * 201}, "It has 201 characters"),
        ({"action": "hold", "reason": "a\0b"}, "unprintable characters"),
    ):
        answer = await operator.client.post(f"/console/mailboxes/{MAILBOX}", data={"token": operator.token, **fields})
        assert answer.status_code == 400
        assert words in answer.text


async def test_the_connection_check(harness: Harness, operator: Operator) -> None:
    """Any number of checks makes at most one login a minute and sends no mail."""
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert "auth ok The login succeeded." in shown
    assert "starttls ok The connection is encrypted" in shown
    for _ in range(3):
        await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert (await harness.caller.get("/readyz?deep=1")).status_code == 200
    assert len(harness.simulator.logins) == 1
    assert harness.simulator.messages == []


async def test_the_connection_check_of_a_broken_connection(harness: Harness, operator: Operator) -> None:
    """The fix is shown before the cause."""
    await harness.simulator.stop()
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert "tcp-ipv4 failed Fix:" in shown
    assert shown.index("POSTERN_SMTP_PORT (587)") < shown.index("refused the connection")


async def in_doubt(harness: Harness) -> UUID:
    """Create a held email whose connection was lost after the final dot."""
    harness.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    id = await harness.post(on_unknown="hold", subject="Lost")
    await harness.until(id, "held")
    return id


async def test_a_retry_that_may_duplicate_needs_confirmation(harness: Harness, operator: Operator) -> None:
    """Without the ticked box the server refuses the retry, whether the browser checks it or not."""
    id = await in_doubt(harness)
    shown = await operator.open(f"/emails/{id}")
    assert "possible duplicate" in shown
    assert "outcome unknown" in shown
    assert "may have arrived already" in await operator.submit(f"/emails/{id}", 400, action="retry")
    assert (await harness.email(id))["relay"]["state"] == "held"
    await operator.open(f"/emails/{id}")
    assert "The email is in the queue again." in await operator.submit(f"/emails/{id}", action="retry", confirmed="yes")
    await harness.until(id, "done")
    assert len(harness.simulator.messages) == 2


async def test_an_email_in_doubt_is_confirmed(harness: Harness, operator: Operator) -> None:
    """The overview asks for the decision; after it the email counts as sent and is not sent again."""
    id = await in_doubt(harness)
    assert "1 email is held until an operator decides" in await until(operator, "", "1 email is held")
    assert "Lost" in await operator.open("/emails", query={"state": "held"})
    await operator.open(f"/emails/{id}")
    assert "The email counts as sent." in await operator.submit(f"/emails/{id}", action="confirm")
    assert (await harness.email(id))["last_event"] == "sent"
    assert len(harness.simulator.messages) == 1


async def test_a_failed_email_is_retried(harness: Harness, operator: Operator) -> None:
    """A retry sends only to the recipients that failed."""
    harness.simulator.faults.add(Fault(Point.RCPT, Say(f"550 5.7.1 {PROBE}"), times=1, recipient="ada@*"))
    id = await harness.post(to=["ada@example.net", "bob@example.net"])
    await harness.until(id, "done")
    shown = await operator.open(f"/emails/{id}")
    assert f"550 5.7.1 {PROBE}" in shown
    assert "<script>" not in operator.page.text
    await operator.submit(f"/emails/{id}", action="retry")
    await harness.until(id, "done")
    assert [message.recipients for message in harness.simulator.messages] == [
        ("bob@example.net",),
        ("ada@example.net",),
    ]
    assert "sent" in await operator.open(f"/emails/{id}")


async def test_a_waiting_email_is_cancelled(harness: Harness, operator: Operator) -> None:
    """A second cancellation does nothing and says so."""
    id = await harness.post(scheduled_at="in 1 hour")
    await operator.open(f"/emails/{id}")
    assert "Cancel permanently" in operator.shows
    assert "The email is cancelled" in await operator.submit(f"/emails/{id}", action="cancel")
    assert (await harness.email(id))["last_event"] == "canceled"
    assert "Cancel permanently" not in operator.shows
    assert "Nothing was done" in await operator.submit(f"/emails/{id}", action="cancel")


async def test_an_email_shows_its_structure_and_not_its_content(harness: Harness, operator: Operator) -> None:
    """The page shows subject, addresses, parts and dialogue, and no text of the email."""
    file = {"filename": "bill <b>.pdf", "content": "AAAA", "content_type": "application/pdf"}
    id = await harness.post(subject=f"Bill {PROBE}", text="SECRET-TEXT", html="<p>SECRET-HTML</p>", attachments=[file])
    await harness.until(id, "done")
    shown = await operator.open(f"/emails/{id}")
    assert f"Bill {PROBE}" in shown
    for part in ("text/plain , 13 B", "text/html , 20 B", "bill <b>.pdf application/pdf, 3 B"):
        assert part in shown
    assert "C: AUTH LOGIN ****" in shown
    for hidden in ("SECRET", "<script>", "<img src=x", "<b>"):
        assert hidden not in operator.page.text


async def test_the_webhooks(harness: Harness, operator: Operator) -> None:
    """The page shows the waiting events, the last failure, and not the URL's query, which may contain secrets."""
    body: dict[str, Any] = {"endpoint": "https://hooks.example.invalid/in?token=SECRET", "events": ["email.sent"]}
    assert (await harness.caller.post("/webhooks", json=body)).status_code == 200
    await harness.until(await harness.post(), "done")
    await until(operator, "/webhooks", "https://hooks.example.invalid/in enabled email.sent 1 1")
    assert "SECRET" not in operator.page.text


async def test_a_database_that_cannot_be_written(harness: Harness, operator: Operator, tmp_path: Path) -> None:
    """The overview still shows the problem and its fix."""
    with closing(sqlite3.connect(tmp_path / "postern.db", timeout=20)) as other:
        other.execute("ALTER TABLE heartbeat RENAME TO gone")
        other.commit()
    shown = await until(operator, "", "The database cannot be written to", 503)
    assert "Check that the database answers" in shown
    with closing(sqlite3.connect(tmp_path / "postern.db", timeout=20)) as other:
        other.execute("ALTER TABLE messages RENAME TO gone_too")
        other.commit()
    assert "Nothing could be read" in await operator.open("/emails", 503)


async def test_actions_are_logged_and_audited(
    harness: Harness, operator: Operator, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log and the audit name the console as the actor."""
    id = await harness.post(scheduled_at="in 1 hour")
    await operator.open(f"/emails/{id}")
    await operator.submit(f"/emails/{id}", action="cancel")
    [line] = [line for line in capfd.readouterr().err.splitlines() if "email.canceled" in line]
    assert "console" in line
    assert str(id) in line
    assert "request_id" in line
    assert f"console email.canceled {id}" in await operator.open("/audit")


async def test_pages_of_the_audit(harness: Harness, operator: Operator) -> None:
    """The newest entries come first; a link leads to older ones."""
    await harness.until(await harness.post(), "done")
    await operator.open("/suppressions")
    for number in range(55):
        await operator.submit("/suppressions", action="add", email=f"n{number:02}@example.net")
    for action in ("hold", "release"):
        await operator.open(f"/mailboxes/{MAILBOX}")
        await operator.submit(f"/mailboxes/{MAILBOX}", action=action)
    shown = await operator.open("/audit")
    assert shown.index("console mailbox.released") < shown.index("console mailbox.held")
    assert shown.count("console suppression.added") == 48
    await operator.follow("next")
    assert operator.shows.count("console suppression.added") == 7
    assert 'rel="next"' not in operator.page.text
    assert "is not an id of the audit" in await operator.open("/audit", 400, query={"before": "x"})


async def test_filters_of_the_audit(harness: Harness, operator: Operator) -> None:
    """By action, a part of the actor's name, and the beginning of the target; older pages keep them."""
    await operator.open("/suppressions")
    for number in range(52):
        await operator.submit("/suppressions", action="add", email=f"n{number:02}@example.net")
    await operator.open(f"/mailboxes/{MAILBOX}")
    await operator.submit(f"/mailboxes/{MAILBOX}", action="hold")
    found = await operator.open("/audit", query={"action": "mailbox.held"})
    assert "console mailbox.held" in found
    assert "console suppression.added" not in found
    assert "mailbox.held" in await operator.open("/audit", query={"subject": MAILBOX.upper()[:5]})
    assert "No entry matches." in await operator.open("/audit", query={"actor": "console", "subject": "50%_"})
    found = await operator.open("/audit", query={"action": "suppression.added", "actor": "CONS"})
    assert found.count("console suppression.added") == 50
    await operator.follow("next")
    assert operator.shows.count("console suppression.added") == 2
    past, future = (datetime.fromtimestamp(time.time() + days * DAY, UTC).date().isoformat() for days in (-3, 3))
    assert "mailbox.held" in await operator.open("/audit", query={"since": past, "until": future})
    for query in ({"since": future}, {"until": past}):
        assert "No entry matches." in await operator.open("/audit", query=query)
    assert "Since: It must be" in await operator.open("/audit", query={"since": "soon"})


async def test_filters_of_the_keys(harness: Harness, operator: Operator) -> None:
    """By a part of the name, the id or a sender, and by state."""
    shop = (await harness.caller.post("/keys", json={"name": "Shop"})).json()["id"]
    blog = {"name": "Blog", "senders": ["news@contoso.com"], "disabled": True}
    await harness.caller.post("/keys", json=blog)
    for query in ({"q": "sho"}, {"q": shop}, {"q": "SHOP", "state": "enabled"}):
        found = await operator.open("/keys", query=query)
        assert "Shop enabled" in found
        assert "Blog disabled" not in found
    assert "Blog disabled" in await operator.open("/keys", query={"q": "news@", "state": "disabled"})
    assert "No key matches." in await operator.open("/keys", query={"q": "shop", "state": "revoked"})


async def test_deliveries_by_state(harness: Harness, operator: Operator) -> None:
    """Tabs of all, the pending and the failed deliveries of a webhook."""
    hook = {"endpoint": "https://hooks.example.invalid/", "events": ["email.sent"]}
    id = (await harness.caller.post("/webhooks", json=hook)).json()["id"]
    await harness.until(await harness.post(), "done")
    assert "email.sent pending" in await operator.open(f"/webhooks/{id}")
    assert "email.sent pending" in await operator.open(f"/webhooks/{id}", query={"state": "pending"})
    assert "No delivery has failed." in await operator.open(f"/webhooks/{id}", query={"state": "failed"})
    assert "console mailbox.held" not in operator.shows


async def test_links_are_relative(harness: Harness, operator: Operator) -> None:
    """All links of a page lead to pages of the console, whatever prefix a gateway adds."""
    id = await harness.post()
    paths = (
        "",
        "/",
        "/emails",
        f"/emails/{id}",
        f"/mailboxes/{MAILBOX}",
        "/webhooks",
        "/suppressions",
        "/nowhere/at/all",
    )
    for path in paths:
        page = await operator.client.get(f"/console{path}")
        links = set(re.findall(r'(?:href|action|src)="([^"]*)"', page.text)) - {"", CLOUDS["worldwide"].message_trace}
        assert not [link for link in links if link.startswith("/")]
        assert "/console/style.css" in {page.url.join(link).path for link in links}
        for link in links:
            assert page.url.join(link).path.startswith("/console"), (path, link)


@pytest.mark.parametrize(
    ("cloud", "link"),
    [
        ("gcc-high", "https://admin.exchange.office365.us/#/messagetrace"),
        ("worldwide", "https://admin.exchange.microsoft.com/#/messagetrace"),
        ("dod", None),  # its address is not known
    ],
)
async def test_the_link_to_message_trace_is_that_of_the_cloud(tmp_path: Path, cloud: str, link: str | None) -> None:
    """An email links to the admin center of its pool's cloud. The setting `strict` is for every key."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(
            simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD), cloud=cloud, strict=True
        )
        async with open_harness(simulator, settings) as harness, visitor(harness) as operator:
            id = await harness.post(scheduled_at="in 1 hour")
            refused = await harness.caller.post("/emails", json={**EMAIL, "htm": "x"})
            assert (refused.status_code, "did you mean `html`?" in refused.json()["message"]) == (422, True)
            await operator.log_in()
            await operator.open(f"/emails/{id}")
            found = re.findall(r'href="(https://[^"]*messagetrace)"', operator.page.text)
            assert found == ([link] if link else [])
