"""resend-cli with the same base URL in the environment."""

import asyncio
import json
from pathlib import Path

from tests.harness import KEY, Harness
from tests.sdks.registry import node, output
from tests.waiting import WAIT_TIMEOUT


async def test_send_read_cancel(harness: Harness, tmp_path: Path) -> None:
    """As JSON, its output without a terminal."""
    folder = await asyncio.to_thread(node, "resend-cli@latest")

    async def cli(*words: str) -> dict[str, object]:
        where = {"RESEND_BASE_URL": harness.url, "RESEND_API_KEY": KEY, "HOME": str(tmp_path), **harness.environment}
        quiet = {"RESEND_NO_UPDATE_NOTIFIER": "1", "RESEND_TELEMETRY_DISABLED": "1"}
        body: dict[str, object] = json.loads(
            await output(
                ["node", str(folder / ".bin" / "resend"), "emails", *words, "--json"], folder, **where, **quiet
            )
        )
        return body

    email = ("--from", "Größe <noreply@contoso.com>", "--to", "ada@example.net", "--subject", "№ 1", "--text", "Hi")
    id = (await cli("send", *email, "--headers", "X-Order=18", "--tags", "kind=test"))["id"]
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    read = await cli("get", str(id))
    assert (read["id"], read["subject"], read["to"]) == (id, "№ 1", ["ada@example.net"])
    later = (await cli("send", *email, "--scheduled-at", "in 1 hour"))["id"]
    assert (await cli("cancel", str(later)))["id"] == later
    assert (await cli("get", str(later)))["last_event"] == "canceled"
    assert len(harness.simulator.messages) == 1
    assert b"X-Order: 18\r\n" in harness.simulator.messages[0].content
