"""Resend SDKs for Python and Node.js, the newest and older ones: received message, parsed response, raised error."""

import asyncio
import base64
import os
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest

from tests.contract.service.test_resend_sdk import files
from tests.harness import KEY, Harness
from tests.sdks.registry import node, python, run
from tests.waiting import WAIT_TIMEOUT

FILE = b"%PDF-1.7\r\n" + os.urandom(2000)
NODE_WORDS = {"reply_to": "replyTo"}
EMAIL: dict[str, Any] = {
    "from": "Contoso Größe, Inc. 🏰 <noreply@contoso.com>",
    "to": ["Zoë Ångström <zoe@example.net>", "bob@example.net"],
    "cc": "c@example.net",
    "bcc": ["b@example.net"],
    "reply_to": "Hilfe <help@contoso.com>",
    "subject": "Ihre Rechnung № 1815 ✓",
    "html": "<p>Grüße, <img src='cid:logo'></p>",
    "text": "Grüße",
    "headers": {"X-Order": "1815"},
    "tags": [{"name": "kind", "value": "invoice"}],
    "attachments": [{"filename": "März.pdf", "content": base64.b64encode(FILE).decode()}],
}


async def arrived(harness: Harness) -> EmailMessage:
    """Return the only message of the upstream, parsed by the standard library."""
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    [seen] = harness.simulator.messages
    assert set(seen.recipients) == {"zoe@example.net", "bob@example.net", "c@example.net", "b@example.net"}
    return BytesParser(policy=policy.default).parsebytes(seen.content)


def means_the_same(message: EmailMessage) -> None:
    """Check every member of EMAIL."""
    for name, field in (("From", "from"), ("Subject", "subject"), ("Reply-To", "reply_to"), ("Cc", "cc")):
        assert str(message[name]).replace('"', "") == EMAIL[field]
    assert str(message["To"]) == ", ".join(EMAIL["to"])
    assert message["Bcc"] is None
    assert message["X-Order"] == "1815"
    assert files(message) == {("März.pdf", "attachment", None): FILE}
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert (html.get_content().strip(), text.get_content().strip()) == (EMAIL["html"], EMAIL["text"])


def read_the_same(read: dict[str, Any], id: str) -> None:
    """Check the SDK's parsed response."""
    assert (read["id"], read["object"], read["subject"]) == (id, "email", EMAIL["subject"])
    assert (read["to"], read["bcc"], read["cc"]) == (EMAIL["to"], EMAIL["bcc"], [EMAIL["cc"]])
    assert read["html"].strip() == EMAIL["html"]


@pytest.mark.parametrize("version", ["resend", "resend==2.19.0", "resend==2.10.0"])
async def test_python(harness: Harness, version: str) -> None:
    """Send, batch, read, reschedule, cancel; and the class of each error that these versions have."""
    folder = await asyncio.to_thread(python, version)
    result = await run("resend_python.py", folder, EMAIL, KEY, RESEND_API_URL=harness.url, **harness.environment)
    assert version in ("resend", f"resend=={result['version']}")
    means_the_same(await arrived(harness))
    read_the_same(result["read"], result["id"])
    assert result["replayed"]
    assert result["updated"]
    assert result["cancelled"]
    assert (result["event"], result["moved"][:20]) == ("canceled", "2026-12-24T08:00:00.")
    assert result["stranger"][:2] == ["InvalidApiKeyError", "403"]
    assert result["invalid"][:2] == ["ValidationError", "422"]
    assert result["invalid"][2].startswith("to[0]: ")
    assert result["missing"][1] == "422"
    assert result["missing"][0] == ("MissingRequiredFieldsError" if version == "resend" else "ResendError")
    assert result["unknown"][1] == "404"


@pytest.mark.parametrize("language", ["node", "python"])
async def test_suppressions(harness: Harness, language: str) -> None:
    """Add, list, read, remove, and both batches, of the newest version: older ones have none."""
    if language == "node":
        folder, program = await asyncio.to_thread(node, "resend@latest"), "resend_suppressions.cjs"
    else:
        folder, program = await asyncio.to_thread(python, "resend"), "resend_suppressions.py"
    addresses = {"RESEND_BASE_URL": harness.url, "RESEND_API_URL": harness.url}
    result = await run(program, folder, None, KEY, **addresses, **harness.environment)
    assert not any(result["errors"])
    assert (result["read"]["email"], result["read"]["origin"]) == ("anna@example.com", "manual")
    assert {one["id"] for one in result["listed"]} == {result["added"], *result["several"]}
    assert (result["removed"]["id"], result["removed"]["deleted"]) == (result["added"], True)
    assert [one["deleted"] for one in result["gone"]] == [True, True]
    assert result["missing"]["name"] == "not_found"


@pytest.mark.parametrize("version", ["resend@latest", "resend@6.1.0", "resend@4.0.0"])
async def test_node(harness: Harness, version: str) -> None:
    """The same, with a Buffer as an attachment and names in camel case."""
    folder = await asyncio.to_thread(node, version)
    email = {NODE_WORDS.get(name, name): value for name, value in EMAIL.items()}
    result = await run("resend_node.cjs", folder, email, KEY, RESEND_BASE_URL=harness.url, **harness.environment)
    means_the_same(await arrived(harness))
    read_the_same(result["read"], result["id"])
    assert result["updated"]
    assert result["cancelled"]
    assert (result["event"], result["moved"][:20]) == ("canceled", "2026-12-24T08:00:00.")
    assert result["stranger"]["name"] == "invalid_api_key"
    assert result["invalid"]["name"] == "validation_error"
    assert result["missing"]["name"] == "missing_required_field"
    assert result["unknown"]["name"] == "not_found"
