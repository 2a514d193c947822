"""Disk guard of SQLite on a real file system of 64 MiB: emails are refused before it is full; relaying continues."""

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.main import Postern
from app.settings import SettingsError
from app.simulator import Simulator
from tests.crash.disk.disks import MIB, Disk, full
from tests.harness import ACCOUNT, EMAIL, MAILBOX, Harness, open_harness, settings_for
from tests.waiting import until

POSTMARK = {"From": MAILBOX, "To": "ada@example.net", "Subject": "Hello", "TextBody": "Hello"}
SENDS: tuple[tuple[str, Any], ...] = (
    ("/emails", EMAIL),
    ("/emails/batch", [EMAIL]),
    ("/email", POSTMARK),
    ("/email/batch", [POSTMARK]),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Data folder on its own file system."""
    with full(tmp_path.resolve()) as disk:
        yield disk


def fill(disk: Disk, left: int) -> None:
    """Leave this many bytes free."""
    with (disk.data / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk.data).free - left)


async def until_status(harness: Harness, status: int) -> dict[str, Any]:
    """Return the response of /readyz once it has this status."""

    async def reached() -> dict[str, Any] | None:
        answer = await harness.caller.get("/readyz")
        return answer.json() if answer.status_code == status else None

    return await until(reached)


@pytest.mark.direct("a gateway passes no /readyz on")
async def test_an_almost_full_disk_refuses_emails_and_relays_on(disk: Disk, tmp_path: Path) -> None:
    """503 with the reason before any write fails. Everything else works, and free space ends the refusal."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path, data_dir=disk.data)) as harness,
    ):
        assert (await harness.caller.post(f"/mailboxes/{MAILBOX}/hold")).status_code == 200
        waiting = [await harness.post() for _ in range(3)]
        fill(disk, 4 * MIB)
        stands = await until_status(harness, 503)
        assert stands["reasons"][0]["check"] == "disk"
        assert "POSTERN_MIN_FREE_BYTES" in stands["reasons"][0]["summary"]
        for path, body in SENDS:
            answer = await harness.caller.post(path, json=body)
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"] == "30"
            if not path.startswith("/email/") and path != "/email":
                assert (answer.json()["name"], answer.json()["reason"]) == ("application_error", "disk_almost_full")
        assert (await harness.caller.post("/emails/validate", json=EMAIL)).status_code == 200
        assert (await harness.caller.get("/emails")).status_code == 200
        assert (await harness.caller.post("/keys", json={"name": "shop"})).status_code == 200
        assert (await harness.caller.post(f"/mailboxes/{MAILBOX}/release")).status_code == 200
        for id in waiting:
            assert (await harness.until(id, "done"))["last_event"] == "sent"
        counted = (await harness.caller.get("/metrics")).text
        assert "\npostern_disk_reserve_bytes 6.7" in counted
        disk.end()
        assert (await until_status(harness, 200))["status"] == "degraded", "less than 256 MiB are free on such a disk"
        await harness.until(await harness.post(), "done")


async def test_a_message_that_would_use_up_the_reserve_is_refused(disk: Disk, tmp_path: Path) -> None:
    """Also between two measurements; a small one is accepted."""
    large = {"filename": "a.bin", "content": base64.b64encode(bytes(10 * MIB)).decode()}
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(
            simulator, settings_for(simulator, tmp_path, data_dir=disk.data, min_free_bytes=44 * MIB)
        ) as harness,
    ):
        answer = await harness.caller.post("/emails", json={**EMAIL, "attachments": [large]})
        assert (answer.status_code, answer.json()["reason"]) == (503, "disk_almost_full")
        await harness.until(await harness.post(), "done")


@pytest.mark.direct("a gateway passes no /readyz on")
@pytest.mark.parametrize(("reserve", "status"), [(32 * MIB, 503), (0, 200)])
async def test_an_almost_full_disk_at_the_start_is_reported(
    disk: Disk, tmp_path: Path, reserve: int, status: int
) -> None:
    """Emails are accepted once there is space, or at once without a reserve."""
    fill(disk, 16 * MIB)
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(
            simulator, settings_for(simulator, tmp_path, data_dir=disk.data, min_free_bytes=reserve)
        ) as harness,
    ):
        await until_status(harness, status)
        assert (await harness.caller.post("/emails", json=EMAIL)).status_code == status
        disk.end()
        await until_status(harness, 200)
        await harness.until(await harness.post(), "done")


async def test_a_reserve_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    """At the start, with the name of the setting and both sizes."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, min_free_bytes=10**18)
        with pytest.raises(SettingsError, match=r"^POSTERN_MIN_FREE_BYTES: 10+ bytes .* has \d+ in all\. Give less"):
            async with Postern(settings):
                pass
