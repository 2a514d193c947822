"""Postmark's SDKs for Node.js and Python on the Postmark routes, with only the base URL changed."""

import asyncio
import base64
import os
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from tests.contract.service.test_resend_sdk import files
from tests.harness import KEY, Harness
from tests.sdks.registry import node, python, run
from tests.waiting import WAIT_TIMEOUT

FILE = os.urandom(2000)
LOGO = bytes(range(256))
EMAIL: dict[str, Any] = {
    "From": '"Größe, Inc." <noreply@contoso.com>',
    "To": "Zoë <zoe@example.net>, bob@example.net",
    "Bcc": "b@example.net",
    "ReplyTo": "help@contoso.com",
    "Subject": "Ihre Rechnung № 1815 ✓",
    "HtmlBody": "<p>Grüße <img src='cid:logo.png'></p>",
    "TextBody": "Grüße",
    "Tag": "invoice",
    "Metadata": {"order": "18"},
    "Attachments": [
        {"Name": "März.bin", "Content": base64.b64encode(FILE).decode(), "ContentType": "application/octet-stream"},
        {
            "Name": "logo.png",
            "Content": base64.b64encode(LOGO).decode(),
            "ContentType": "image/png",
            "ContentID": "cid:logo.png",
        },
    ],
}


async def means_the_same(harness: Harness, reported: dict[str, Any]) -> None:
    """Check that the single email and the good one of the batch arrived, and the code of the bad one was read."""
    await harness.simulator.wait_for(2, WAIT_TIMEOUT)
    for seen in harness.simulator.messages:
        assert set(seen.recipients) == {"zoe@example.net", "bob@example.net", "b@example.net"}
        message: EmailMessage = BytesParser(policy=policy.default).parsebytes(seen.content)
        assert (str(message["From"]), str(message["To"])) == (EMAIL["From"], EMAIL["To"])
        assert (str(message["Subject"]), message["Bcc"]) == (EMAIL["Subject"], None)
        assert files(message) == {
            ("März.bin", "attachment", None): FILE,
            ("logo.png", "inline", "<logo.png>"): LOGO,
        }
    assert len(harness.simulator.messages) == 2
    assert (reported["sent"]["ErrorCode"], reported["sent"]["Message"], reported["sent"]["To"]) == (
        0,
        "OK",
        EMAIL["To"],
    )
    good, bad = reported["batch"]
    assert (good["ErrorCode"], bad["ErrorCode"]) == (0, 300)
    assert bad["Message"].startswith("To[0]: ")
    shown = (await harness.caller.get(f"/emails/{reported['sent']['MessageID']}")).json()
    assert {tag["name"]: tag["value"] for tag in shown["tags"]} == {"tag": "invoice", "order": "18"}


async def test_node(harness: Harness) -> None:
    """Its error classes depend on status and code."""
    folder = await asyncio.to_thread(node, "postmark@latest")
    result = await run("postmark_node.cjs", folder, EMAIL, KEY, harness.url, **harness.environment)
    await means_the_same(harness, result)
    assert result["stranger"][:3] == ["InvalidAPIKeyError", 401, 10]
    assert result["invalid"][:3] == ["InvalidEmailRequestError", 422, 300]
    assert result["template"][1:3] == [422, 1101]


async def test_python(harness: Harness) -> None:
    """Postmarker raises Postmark's code."""
    folder = await asyncio.to_thread(python, "postmarker")
    result = await run("postmark_python.py", folder, EMAIL, KEY, harness.url + "/", **harness.environment)
    await means_the_same(harness, result)
    assert result["stranger"][0] == 10
    assert result["invalid"][0] == 300
