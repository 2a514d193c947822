"""The official Resend SDK for Python, with nothing changed but RESEND_API_URL."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Simulator
from tests.house import ACCOUNT, KEY, PATIENCE, House, house, settings_for

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


@pytest.fixture
async def at_home(tmp_path: Path) -> AsyncIterator[House]:
    """Postern in front of a simulator."""
    async with Simulator(accounts=[ACCOUNT]) as simulator, house(simulator, settings_for(simulator, tmp_path)) as home:
        yield home


async def test_the_sdk_sends_and_the_bytes_mean_the_same(at_home: House) -> None:
    """Two attachments (one inline), names beyond ASCII, cc and bcc; no Bcc header, envelope complete."""
    id, read = await sdk(at_home.postern.url, EMAIL)
    await at_home.simulator.wait_for(1, PATIENCE)
    [seen] = at_home.simulator.messages
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


async def sdk(url: str, email: object) -> tuple[str, dict[str, Any]]:
    """Run the SDK as its user does: another process, told by the environment where to go."""
    environment = {**os.environ, "RESEND_API_URL": url, "NO_PROXY": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, KEY, env=environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(json.dumps(email).encode())
    assert process.returncode == 0, err.decode()
    id, read = json.loads(out)
    return id, read


def files(message: EmailMessage) -> dict[tuple[str | None, str | None, str | None], bytes]:
    """The attachments by name, disposition and Content-ID."""
    return {
        (part.get_filename(), part.get_content_disposition(), part["Content-ID"]): part.get_content()
        for part in message.walk()
        if part.get_content_disposition()
    }
