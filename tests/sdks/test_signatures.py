"""Signatures of webhooks, verified by the packages of Svix, Standard Webhooks and Resend for Node.js."""

import asyncio

from tests.harness import Harness
from tests.sdks.registry import node, run
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver


async def test_node(harness: Harness) -> None:
    """Each accepts the received bytes and refuses others."""
    folder = await asyncio.to_thread(node, "svix@latest", "standardwebhooks@latest", "resend@latest")
    async with Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post(subject="Größe")
        await receiver.until(lambda: bool(receiver.taken))
        got = receiver.taken[0]
    given = {"secret": made["signing_secret"], "body": got.body.decode(), "headers": got.headers}
    result = await run("verify.cjs", folder, given)
    verdict = {"ours": False, "forged": True}
    assert result == {"svix": verdict, "standardwebhooks": verdict, "resend": verdict}
