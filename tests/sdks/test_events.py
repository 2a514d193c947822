"""Events of deliveries, bounces, delays and suppressions, verified by the Resend SDKs for Node.js and Python."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clock import autojump
from tests.contract.message_trace.test_events import BOUNCED, DELAYED, DELIVERED
from tests.contract.message_trace.world import HOUR, TRACE_WAIT, world
from tests.sdks.registry import node, output, python, run
from tests.waiting import until
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Got, Receiver

pytestmark = pytest.mark.direct("virtual time does not wait for another process, and events pass no gateway")

SUPPRESSED = "email.suppressed"
# The members of an event are those of the type, and more: so no literal of the type, whose members have to be exact.
TYPED = """import type { WebhookEventPayload } from "resend";
function typed<T extends WebhookEventPayload>(event: T): T { return event; }
"""


@autojump
async def collect(folder: Path) -> tuple[str, list[Any]]:
    """Return the secret of a webhook, and what it received: one event of each type."""
    async with Receiver() as receiver, world(folder, webhook_private_addresses=True) as here:
        made = await listen(here.harness, receiver.url, DELIVERED, BOUNCED, DELAYED, SUPPRESSED)
        here.clock.jump(-2 * HOUR)  # the time at the end is that of the SDK
        await here.harness.caller.post("/suppressions", json={"email": "gone@example.net"})
        delayed = await here.harness.post(to="delay+450@example.net")
        await here.harness.post(to="bounce+5.1.1@example.net")
        await here.harness.post(to="ada@example.net")
        await here.harness.post(to="gone@example.net")
        await here.until_delivery(delayed, "delay+450@example.net", "pending")
        here.clock.jump(1.5 * HOUR)
        await here.until_delivery(delayed, "delay+450@example.net", "delayed")
        await until(lambda: len(receiver.taken) == 4 or None, TRACE_WAIT)
        here.clock.jump(0.5 * HOUR)
        for got in receiver.taken[:4]:
            answer = await here.harness.caller.post(f"/webhooks/{made['id']}/events/{got.id}/replay")
            assert answer.is_success, answer.text
        await until(lambda: len(receiver.taken) == 8 or None, TRACE_WAIT)
        return made["signing_secret"], receiver.taken[4:]


def given(secret: str, received: Sequence[Got]) -> dict[str, Any]:
    """Return what the programs read."""
    return {"secret": secret, "events": [{"payload": one.body.decode(), "headers": one.headers} for one in received]}


def check(read: Sequence[dict[str, Any]]) -> None:
    """Check the events that an SDK has verified."""
    found = {one["type"]: one["data"] for one in read}
    assert found.keys() == {DELIVERED, BOUNCED, DELAYED, SUPPRESSED}
    assert found[BOUNCED]["bounce"]["type"] == "Permanent"
    assert found[SUPPRESSED]["suppressed"]["type"] == "OnAccountSuppressionList"


def test_python(tmp_path: Path) -> None:
    """Each is accepted and has the required members of the SDK's type; with a changed byte it is refused."""
    secret, received = collect(tmp_path)
    result = asyncio.run(run("resend_events.py", python("resend"), given(secret, received)))
    check(result["read"])
    assert [one["missing"] for one in result["read"]] == [[]] * 4
    assert result["refused"] == 4


def test_node(tmp_path: Path) -> None:
    """Each is accepted, has the members of the SDK's type, and compiles as one."""
    secret, received = collect(tmp_path)
    folder = node("resend@latest", "typescript@5")
    check(asyncio.run(run("resend_events.cjs", folder, given(secret, received))))
    source = tmp_path / "events.ts"
    source.write_text(TYPED + "".join(f"typed({json.dumps(one.event)});\n" for one in received))
    options = {
        "compilerOptions": {
            "strict": True,
            "noEmit": True,
            "skipLibCheck": True,
            "module": "esnext",
            "moduleResolution": "bundler",
            "target": "es2022",
            "types": [],
            "paths": {"resend": [str(folder / "resend")]},
        },
        "files": [str(source)],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    compiler = ["node", str(folder / "typescript/bin/tsc"), "--project", str(tmp_path)]
    assert asyncio.run(output(compiler, folder)) == ""
