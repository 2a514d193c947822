"""What the pages show and what their forms do, over a whole Postern with real faults."""

import asyncio
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.simulator import Drop, Fault, Point, Say
from tests.contract.console.operator import Operator
from tests.harness import MAILBOX, PATIENCE, Harness

PROBE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`&"


async def until(operator: Operator, path: str, words: str, status: int = 200) -> str:
    """The page once it says so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            operator.page = await operator.client.get(f"/console{path}")
            if words in operator.shows and operator.page.status_code == status:
                return operator.shows
            await asyncio.sleep(0.05)


async def held(home: Harness, operator: Operator) -> UUID:
    """An email waits for a mailbox that is held; its id."""
    home.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    id = await home.post(subject="It waits")
    await until(operator, "", "A mailbox is held")
    return id


async def test_all_is_well(home: Harness, operator: Operator) -> None:
    """It says so, and what the mailbox has used of its limits."""
    await home.until(await home.post(), "done")
    shown = await until(operator, "", "1 of 30 emails")
    assert "Nothing. Emails are accepted and relayed." in shown
    assert "1 of 10,000 recipients" in shown
    assert "Nothing: no email waits, is being relayed or is held." in shown
    assert "What ends soon 2026-12-31 00:00:00 UTC : the password of noreply@contoso.com" in shown


async def test_a_held_mailbox_is_seen_mended_and_released(home: Harness, operator: Operator) -> None:
    """The fix stands before the cause; a release logs in, and what waited goes."""
    id = await held(home, operator)
    shown = await until(operator, "", "normal default 1 0 0 0")
    assert shown.index(f"Set-CASMailbox -Identity {MAILBOX}") < shown.index("is switched off for this mailbox")
    shown = await operator.open(f"/mailboxes/{MAILBOX}")
    assert "held in the pool default" in shown
    assert f"Set-CASMailbox -Identity {MAILBOX}" in shown
    shown = await operator.open(f"/emails/{id}")
    assert "mailbox noreply@contoso.com. Sending by SMTP is switched off" in shown
    assert "It is number 1 in its queue" in shown
    await operator.open(f"/mailboxes/{MAILBOX}")
    assert "It logs in once and goes on if that works." in await operator.submit(
        f"/mailboxes/{MAILBOX}", what="release"
    )
    await home.until(id, "done")
    await until(operator, f"/mailboxes/{MAILBOX}", "open in the pool default")


async def test_holding_a_mailbox(home: Harness, operator: Operator) -> None:
    """With a reason for the others, which is shown as it was written."""
    await home.until(await home.post(), "done")
    await operator.open(f"/mailboxes/{MAILBOX}")
    await operator.submit(f"/mailboxes/{MAILBOX}", what="hold", reason=f"audit {PROBE}")
    shown = await until(operator, f"/mailboxes/{MAILBOX}", "held in the pool default")
    assert f"A person holds the mailbox: audit {PROBE}." in shown
    assert "<script" not in operator.page.text
    await until(operator, "", "A mailbox is held by a person")  # a look is good for a second
    await operator.open(f"/mailboxes/{MAILBOX}")
    assert "a person holds the mailbox" in await operator.submit(f"/mailboxes/{MAILBOX}/examine")


async def test_wishes_that_cannot_be(operator: Operator) -> None:
    """Each is refused in words."""
    await operator.open(f"/mailboxes/{MAILBOX}")
    for fields, words in (
        ({"what": "explode"}, "There is no such wish"),
        ({"what": "hold", "reason": "x" * 201}, "It has 201 characters"),
        ({"what": "hold", "reason": "a\0b"}, "characters that cannot be shown"),
    ):
        answer = await operator.client.post(f"/console/mailboxes/{MAILBOX}", data={"token": operator.token, **fields})
        assert answer.status_code == 400
        assert words in answer.text


async def test_the_doctor(home: Harness, operator: Operator) -> None:
    """One login at most in a minute, whoever asks and however often; no mail."""
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert "auth ok The mailbox is logged in." in shown
    assert "starttls ok The connection is encrypted" in shown
    for _ in range(3):
        await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert (await home.caller.get("/readyz?deep=1")).status_code == 200
    assert len(home.simulator.logins) == 1
    assert home.simulator.messages == []


async def test_the_doctor_when_it_is_broken(home: Harness, operator: Operator) -> None:
    """Its cause and its fix, the fix first."""
    await home.simulator.stop()
    await operator.open(f"/mailboxes/{MAILBOX}")
    shown = await operator.submit(f"/mailboxes/{MAILBOX}/examine")
    assert "tcp-ipv4 failed To mend it:" in shown
    assert shown.index("POSTERN_SMTP_PORT (587)") < shown.index("refused the connection")


async def doubtful(home: Harness) -> UUID:
    """The connection died after the final dot."""
    home.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=1))
    id = await home.post(on_unknown="hold", subject="Lost")
    await home.until(id, "held")
    return id


async def test_a_retry_that_may_duplicate_asks_twice(home: Harness, operator: Operator) -> None:
    """Without the tick nothing is done, whatever the browser checks."""
    id = await doubtful(home)
    shown = await operator.open(f"/emails/{id}")
    assert "possible duplicate" in shown
    assert "in doubt" in shown
    assert "It may have arrived already" in await operator.submit(f"/emails/{id}", 400, what="retry")
    assert (await home.email(id))["relay"]["state"] == "held"
    await operator.open(f"/emails/{id}")
    assert "It is in the queue again." in await operator.submit(f"/emails/{id}", what="retry", sure="yes")
    await home.until(id, "done")
    assert len(home.simulator.messages) == 2


async def test_a_doubtful_email_is_confirmed(home: Harness, operator: Operator) -> None:
    """It counts as sent and is not offered again; the overview had asked for it."""
    id = await doubtful(home)
    assert "1 email is held until a person decides." in await until(operator, "", "1 email is held")
    assert "Lost" in await operator.open("/emails", query={"state": "held"})
    await operator.open(f"/emails/{id}")
    assert "It counts as sent." in await operator.submit(f"/emails/{id}", what="confirm")
    assert (await home.email(id))["last_event"] == "sent"
    assert len(home.simulator.messages) == 1


async def test_a_failed_email_is_retried(home: Harness, operator: Operator) -> None:
    """To whom it has failed for alone, once the cause is mended."""
    home.simulator.faults.add(Fault(Point.RCPT, Say(f"550 5.1.10 {PROBE}"), times=1, recipient="ada@*"))
    id = await home.post(to=["ada@example.net", "bob@example.net"])
    await home.until(id, "done")
    shown = await operator.open(f"/emails/{id}")
    assert f"550 5.1.10 {PROBE}" in shown
    assert "<script" not in operator.page.text
    await operator.submit(f"/emails/{id}", what="retry")
    await home.until(id, "done")
    assert [message.recipients for message in home.simulator.messages] == [("bob@example.net",), ("ada@example.net",)]
    assert "sent" in await operator.open(f"/emails/{id}")


async def test_what_waits_is_cancelled(home: Harness, operator: Operator) -> None:
    """Once; the second word finds it differently."""
    id = await home.post(scheduled_at="in 1 hour")
    await operator.open(f"/emails/{id}")
    assert "Cancel it for good" in operator.shows
    assert "It is cancelled" in await operator.submit(f"/emails/{id}", what="cancel")
    assert (await home.email(id))["last_event"] == "canceled"
    assert "Cancel it for good" not in operator.shows
    assert "Nothing was done" in await operator.submit(f"/emails/{id}", what="cancel")


async def test_an_email_shows_its_structure_and_not_its_content(home: Harness, operator: Operator) -> None:
    """Subject, addresses, parts and dialogue; what it says stays between sender and recipient."""
    file = {"filename": "bill <b>.pdf", "content": "AAAA", "content_type": "application/pdf"}
    id = await home.post(subject=f"Bill {PROBE}", text="SECRET-TEXT", html="<p>SECRET-HTML</p>", attachments=[file])
    await home.until(id, "done")
    shown = await operator.open(f"/emails/{id}")
    assert f"Bill {PROBE}" in shown
    for part in ("text/plain, 13 B", "text/html, 20 B", "application/pdf, bill <b>.pdf, 3 B"):
        assert part in shown
    assert "C: AUTH LOGIN ****" in shown
    for hidden in ("SECRET", "<script", "<img src=x", "<b>"):
        assert hidden not in operator.page.text


async def test_the_list_finds_what_the_api_finds(home: Harness, operator: Operator) -> None:
    """By state, recipient, sender, lane and subject, alone and together; a wrong filter says what is right."""
    await home.until(await home.post(subject="A receipt", to="bob@example.net"), "done")
    await home.post(subject="Later", lane="bulk", scheduled_at="in 1 hour", **{"from": "shop@contoso.com"})
    for query, found in (
        ({}, ["Later", "A receipt"]),
        ({"state": "sent"}, ["A receipt"]),
        ({"state": "scheduled"}, ["Later"]),
        ({"to": "BOB@example.net"}, ["A receipt"]),
        ({"from": "shop@contoso.com", "lane": "bulk"}, ["Later"]),
        ({"subject": "receip"}, ["A receipt"]),
        ({"lane": "urgent"}, []),
    ):
        await operator.open("/emails", query=query)
        assert subjects(operator) == found, query
    for query, words in (
        ({"to": "bob"}, "An address is whole"),
        ({"state": "x"}, "There is no such state."),
        ({"lane": "x"}, "There is no such lane."),
        ({"subject": "x" * 201}, "at most 200 characters"),
        ({"after": "x"}, "The page is not one"),
    ):
        assert words in await operator.open("/emails", query=query)


def subjects(operator: Operator) -> Sequence[str]:
    """Those that are listed, the newest first."""
    rows = operator.page.text.split('data-label="Subject"')[1:]
    return [row.split("</a>")[0].rpartition(">")[2] for row in rows]


async def test_pages_of_the_list(home: Harness, operator: Operator) -> None:
    """Older and newer lead through all of them and back, with the filters kept."""
    for number in range(120):
        await home.post(subject=f"No. {number:03}", scheduled_at="in 1 hour")
    seen: list[str] = []
    await operator.open("/emails", query={"state": "scheduled"})
    for _ in range(2):
        seen += subjects(operator)
        await follow(operator, "next")
    seen += subjects(operator)
    assert seen == [f"No. {number:03}" for number in reversed(range(120))]
    assert 'rel="next"' not in operator.page.text
    await follow(operator, "prev")
    assert subjects(operator) == seen[50:100]
    await follow(operator, "prev")
    assert subjects(operator) == seen[:50]
    assert "state=scheduled" in str(operator.page.url)


async def follow(operator: Operator, way: str) -> None:
    """The link of the page that leads there."""
    where = operator.page.text.split(f'rel="{way}" href="')[1].split('"')[0].replace("&amp;", "&")
    operator.page = await operator.client.get(where)
    assert operator.page.status_code == 200


async def test_the_webhooks(home: Harness, operator: Operator) -> None:
    """What waits for each, how it failed last, and nothing of the query in which people put secrets."""
    body: dict[str, Any] = {"endpoint": "https://hooks.example.invalid/in?token=SECRET", "events": ["email.sent"]}
    assert (await home.caller.post("/webhooks", json=body)).status_code == 200
    await home.until(await home.post(), "done")
    shown = await until(operator, "/webhooks", "1 waiting")
    shown = await until(operator, "/webhooks", "email.sent 20")
    assert "https://hooks.example.invalid/in" in shown
    assert "pending" in shown
    assert "SECRET" not in operator.page.text


async def test_a_store_that_takes_nothing(home: Harness, operator: Operator, tmp_path: Path) -> None:
    """The overview still says what is wrong and what mends it."""
    with closing(sqlite3.connect(tmp_path / "postern.db", timeout=20)) as other:
        other.execute("ALTER TABLE heartbeat RENAME TO gone")
        other.commit()
    shown = await until(operator, "", "The email store takes nothing", 503)
    assert "See that the database answers" in shown
    with closing(sqlite3.connect(tmp_path / "postern.db", timeout=20)) as other:
        other.execute("ALTER TABLE messages RENAME TO gone_too")
        other.commit()
    assert "Nothing could be read" in await operator.open("/emails", 503)


async def test_what_a_person_did_is_written_down(
    home: Harness, operator: Operator, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the log and in the audit, as done at the console."""
    id = await home.post(scheduled_at="in 1 hour")
    await operator.open(f"/emails/{id}")
    await operator.submit(f"/emails/{id}", what="cancel")
    [line] = [line for line in capfd.readouterr().err.splitlines() if "email.canceled" in line]
    assert "console" in line
    assert str(id) in line
    assert "request_id" in line
    assert f"console email.canceled {id}" in await operator.open("/audit")


async def test_pages_of_the_audit(home: Harness, operator: Operator) -> None:
    """The newest first, and older ones behind them."""
    await home.until(await home.post(), "done")
    await operator.open(f"/mailboxes/{MAILBOX}")
    for number in range(60):
        what = "release" if number % 2 else "hold"
        await operator.submit(f"/mailboxes/{MAILBOX}", what=what, reason=f"No. {number}")
    shown = await operator.open("/audit")
    assert shown.index("console mailbox.released") < shown.index("console mailbox.held")
    assert "No. 58" in shown
    assert "No. 8" not in shown
    await follow(operator, "next")
    assert "No. 8" in operator.shows
    assert 'rel="next"' not in operator.page.text
    assert "not one that the list has given" in await operator.open("/audit", 400, query={"before": "x"})


async def test_addresses_are_relative(home: Harness, operator: Operator) -> None:
    """So that a gateway may put whatever it likes before them: all links of a page lead to pages of the console."""
    id = await home.post()
    for path in ("", "/", "/emails", f"/emails/{id}", f"/mailboxes/{MAILBOX}", "/webhooks", "/nowhere/at/all"):
        page = await operator.client.get(f"/console{path}")
        links = set(re.findall(r'(?:href|action|src)="([^"]*)"', page.text)) - {""}
        assert not [link for link in links if link.startswith("/")]
        assert "/console/style.css" in {page.url.join(link).path for link in links}
        for link in links:
            assert page.url.join(link).path.startswith("/console"), (path, link)
