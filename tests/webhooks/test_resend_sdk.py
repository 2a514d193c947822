"""Webhooks managed by the official Resend SDK for Python, with only RESEND_API_URL changed."""

import asyncio
import json
import os
import sys
from typing import Any

from app.clock import Clock
from tests.harness import KEY
from tests.webhooks.conftest import Open
from tests.webhooks.listen import settled, verify
from tests.webhooks.receiver import Receiver

MAKE = """
made = resend.Webhooks.create({"endpoint": given, "events": ["email.sent", "email.bounced"]})
print(json.dumps(made))
"""
MANAGE = """
id = given
hooks = resend.Webhooks
event = hooks.list_events(id, {"limit": 1})["data"][0]["id"]
print(json.dumps({
    "get": hooks.get(id),
    "list": hooks.list({"limit": 10}),
    "list_events": hooks.list_events(id),
    "get_event": hooks.get_event(id, event),
    "attempts": hooks.list_event_attempts(id, event),
    "replay": hooks.replay_event(id, event),
    "rotate": hooks.rotate_signing_secret(id),
    "update": hooks.update({"webhook_id": id, "status": "disabled"}),
    "disabled": hooks.get(id)["status"],
    "remove": hooks.remove(id),
    "none": hooks.list()["data"],
}))
"""


async def sdk(url: str, script: str, given: str) -> Any:
    """Run the SDK as a user does: in another process, configured by the environment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import json, sys, resend\n_, resend.api_key, given = sys.argv\n{script}", KEY, given),
        env={**os.environ, "RESEND_API_URL": url, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_the_sdk_manages_webhooks(new_harness: Open) -> None:
    """And verifies a received event (W1)."""
    async with new_harness(Clock()) as harness, Receiver() as receiver:
        made = await sdk(harness.postern.url, MAKE, receiver.url)
        await harness.post()
        await receiver.until(lambda: bool(receiver.taken))
        verify(receiver.taken[0], made["signing_secret"])
        await settled(harness, made["id"], receiver.taken[0].id, 1)
        seen = await sdk(harness.postern.url, MANAGE, made["id"])
        assert seen["get"]["signing_secret"] == made["signing_secret"]
        assert seen["get"]["events"] == ["email.sent", "email.bounced"]
        assert [one["id"] for one in seen["list"]["data"]] == [made["id"]]
        assert [one["id"] for one in seen["list_events"]["data"]] == [receiver.taken[0].id]
        assert seen["get_event"]["payload"] == receiver.taken[0].event
        assert [one["http_status_code"] for one in seen["attempts"]["data"]] == [200]
        assert seen["replay"]["id"] == receiver.taken[0].id
        assert seen["rotate"]["signing_secret"] != made["signing_secret"]
        assert (seen["update"]["id"], seen["disabled"]) == (made["id"], "disabled")
        assert (seen["remove"]["deleted"], seen["none"]) == (True, [])
