"""Official Resend SDK for Python, with only RESEND_API_URL changed."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, KEY, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT, until

LOGO = bytes(range(256)) * 8
INVOICE = b"%PDF-1.7\r\n" + os.urandom(20_000)
EMAIL: dict[str, Any] = {
    "from": "Contoso Größe, Inc. 🏰 <noreply@contoso.com>",
    "to": ["Zoë Ångström <zoe@example.net>", "Bob <bob@example.net>"],
    "cc": ["Łukasz <lukasz@example.net>"],
    "bcc": ["audit@example.org"],
    "reply_to": "Hilfe <help@contoso.com>",
    "subject": "Ihre Rechnung № 1815 ✓",
    "html": "<p>Grüße, <img src='cid:logo'></p>",
    "text": "Grüße\n",
    "headers": {"X-Order": "1815"},
    "tags": [{"name": "kind", "value": "invoice"}],
    "attachments": [
        {"filename": "Rechnung März.pdf", "content": list(INVOICE)},
        {"filename": "logo.png", "content": base64.b64encode(LOGO).decode(), "content_id": "logo"},
    ],
}
SCRIPT = """
import json, sys, resend
resend.api_key = sys.argv[1]
sent = resend.Emails.send(json.load(sys.stdin))
print(json.dumps([sent["id"], resend.Emails.get(email_id=sent["id"])]))
"""
ALL_OF_IT = """
import json, sys, resend
from resend.exceptions import ResendError
resend.api_key = sys.argv[1]
email = json.load(sys.stdin)
later = {**email, "scheduled_at": "in 1 hour"}

def refused(call):
    try:
        call()
    except ResendError as error:
        return [type(error).__name__, error.code, error.message]

first = resend.Batch.send([email, later], {"idempotency_key": "once"})
again = resend.Batch.send([email, later], {"idempotency_key": "once"})
part = resend.Batch.send([{**email, "to": "nope"}, email], {"batch_validation": "permissive"})
strict = refused(lambda: resend.Batch.send([email, {**email, "to": "nope"}]))
other = refused(lambda: resend.Batch.send([email], {"idempotency_key": "once"}))
ids = [one["id"] for one in [*first["data"], *part["data"]]]
newest = resend.Emails.list({"limit": 2})
older = resend.Emails.list({"limit": 2, "after": newest["data"][-1]["id"]})
newer = resend.Emails.list({"before": ids[0]})
updated = resend.Emails.update({"id": ids[1], "scheduled_at": "in 2 hours"})
moved = resend.Emails.get(ids[1])
cancelled = resend.Emails.cancel(ids[1])
twice = refused(lambda: resend.Emails.cancel(ids[1]))
late = refused(lambda: resend.Emails.update({"id": ids[1], "scheduled_at": "in 1 hour"}))
files = resend.Emails.Attachments.list(ids[0])
file = resend.Emails.Attachments.get(ids[0], files["data"][0]["id"])
end = resend.Emails.get(ids[1])
del first["http_headers"], again["http_headers"]
print(json.dumps(
    dict(first=first, again=again, part=part, strict=strict, other=other, newest=newest, older=older, newer=newer,
         updated=updated, moved=moved, cancelled=cancelled, twice=twice, late=late, files=files, file=file, end=end),
    default=str,
))
"""


SUPPRESSIONS = """
import json, sys, resend
from resend.exceptions import ResendError
resend.api_key = sys.argv[1]
ours = resend.Suppressions

def missing(key):
    try:
        ours.get(key)
    except ResendError as error:
        return error.code

added = ours.add({"email": "Anna@Example.com"})
several = ours.Batch.add({"emails": ["bob@example.net", "carl+x@example.net"]})
listed = ours.list({"origin": "manual", "limit": 2})
rest = ours.list({"after": listed["data"][-1]["id"]})
by_address = ours.get("ANNA@example.com")
removed = ours.remove("carl+x@example.net")
batch = ours.Batch.remove({"ids": [several["data"][0]["id"]]})
print(json.dumps(
    dict(added=added, several=several, listed=listed, rest=rest, by_address=by_address, removed=removed, batch=batch,
         missing=missing("carl+x@example.net")),
    default=str,
))
"""
OVER_BUDGET = """
import json, sys, resend
from resend.exceptions import RateLimitError
resend.api_key = sys.argv[1]
email = json.load(sys.stdin)
sent = resend.Emails.send(email)
try:
    resend.Emails.send(email)
except RateLimitError as error:
    print(json.dumps([sent, [type(error).__name__, error.code, error.message, error.headers]], default=str))
"""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a simulator."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
    ):
        yield harness


async def test_an_email_of_the_sdk_arrives_as_written(harness: Harness) -> None:
    """Two attachments (one inline), names beyond ASCII, cc and bcc; no Bcc header, complete envelope."""
    id, read = await sdk(harness, EMAIL)
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    [seen] = harness.simulator.messages
    assert set(seen.recipients) == {
        "zoe@example.net", "bob@example.net", "lukasz@example.net", "audit@example.org",
    }  # fmt: skip
    message = BytesParser(policy=policy.default).parsebytes(seen.content)
    for name, field in (("From", "from"), ("Subject", "subject"), ("Reply-To", "reply_to")):
        assert str(message[name]).replace('"', "") == EMAIL[field]
    assert str(message["To"]) == ", ".join(EMAIL["to"])
    assert str(message["Cc"]) == ", ".join(EMAIL["cc"])
    assert message["Bcc"] is None
    assert b"audit@example.org" not in seen.content
    assert message["X-Order"] == "1815"
    assert files(message) == {
        ("Rechnung März.pdf", "attachment", None): INVOICE,
        ("logo.png", "inline", "<logo>"): LOGO,
    }
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert html.get_content().strip() == EMAIL["html"]
    assert text is not None
    assert text.get_content().splitlines() == ["Grüße"]
    assert (read["id"], read["object"]) == (id, "email")
    assert read["to"] == EMAIL["to"]


async def test_every_email_call_of_the_sdk_returns_its_type(harness: Harness) -> None:
    """Batches, lists, rescheduling, cancellation, files."""
    got = await sdk(harness, EMAIL, ALL_OF_IT)
    now, later = (one["id"] for one in got["first"]["data"])
    (good,) = (one["id"] for one in got["part"]["data"])
    assert got["again"] == got["first"]
    assert [(one["index"], one["message"][:6]) for one in got["part"]["errors"]] == [(0, "[0].to")]
    assert got["strict"][:2] == ["ValidationError", 422]
    assert got["other"][1:2] == [409]
    assert [one["id"] for one in got["newest"]["data"]] == [good, later]
    assert ([one["id"] for one in got["older"]["data"]], got["older"]["has_more"]) == ([now], False)
    assert [one["id"] for one in got["newer"]["data"]] == [good, later]
    assert got["newest"]["has_more"]
    assert got["updated"]["id"] == got["cancelled"]["id"] == later
    assert (got["moved"]["last_event"], got["end"]["last_event"]) == ("scheduled", "canceled")
    assert (datetime.fromisoformat(got["moved"]["scheduled_at"]) - datetime.now(UTC)).total_seconds() > 7000
    for refusal in (got["twice"], got["late"]):
        assert refusal[:2] == ["ValidationError", 422]
    assert {one["filename"] for one in got["files"]["data"]} == {"Rechnung März.pdf", "logo.png"}
    assert got["file"]["size"] in (len(INVOICE), len(LOGO))
    await harness.simulator.wait_for(2, WAIT_TIMEOUT)
    assert len(harness.simulator.messages) == 2


async def test_the_sdk_raises_its_quota_error(harness: Harness) -> None:
    """Case E4: with the headers that have the retry time."""
    (key,) = (await harness.caller.get("/keys")).json()["data"]
    await harness.caller.patch(f"/keys/{key['id']}", json={"messages_per_day": 1})

    async def is_limited() -> bool:  # a change counts within a second
        return (await harness.caller.get("/keys")).headers["ratelimit-limit"] == "1"

    await until(is_limited)
    sent, refused = await sdk(harness, EMAIL, OVER_BUDGET)
    assert lowered(sent["http_headers"])["ratelimit-remaining"] == "0"
    assert refused[:2] == ["RateLimitError", 429]
    assert "1 message a day, and 0 of them are left" in refused[2]
    assert lowered(refused[3]).keys() >= {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"}


async def test_every_suppression_call_of_the_sdk_returns_its_type(harness: Harness) -> None:
    """Add, list, read by address, remove, and both batches."""
    got = await sdk(harness, None, SUPPRESSIONS)
    id, several = got["added"]["id"], [one["id"] for one in got["several"]["data"]]
    assert (got["by_address"]["id"], got["by_address"]["email"]) == (id, "anna@example.com")
    assert got["listed"]["has_more"]
    assert {one["id"] for one in got["listed"]["data"]} == {*several}
    assert [one["id"] for one in got["rest"]["data"]] == [id]
    assert (got["removed"]["id"], got["removed"]["deleted"]) == (several[1], True)
    assert [one["id"] for one in got["batch"]["data"]] == [several[0]]
    assert got["missing"] == 404


def lowered(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers with lower-case names: the SDK returns them as received, and Caddy has its own spelling."""
    return {name.lower(): value for name, value in headers.items()}


async def sdk(harness: Harness, email: object, script: str = SCRIPT) -> Any:
    """Run the SDK as a user does: in another process, configured by the environment."""
    environment = {
        **os.environ,
        "RESEND_API_URL": harness.url,
        "NO_PROXY": "localhost,127.0.0.1",
        **harness.environment,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, KEY, env=environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(json.dumps(email).encode())
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def files(message: EmailMessage) -> dict[tuple[str | None, str | None, str | None], bytes]:
    """Return the attachments by name, disposition and Content-ID."""
    return {
        (part.get_filename(), part.get_content_disposition(), part["Content-ID"]): part.get_content()
        for part in message.walk()
        if part.get_content_disposition()
    }
