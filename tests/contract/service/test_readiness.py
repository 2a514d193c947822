"""GET /readyz of a complete Postern: findings, delay of detection, and cost."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.api.auth.authenticator import digest, new_key
from app.simulator import Drop, Fault, Point, Say, ServerProfile, Silence, Simulator
from app.store.keys.records import Key, Permission
from tests.clock import LoopClock, advance, autojump
from tests.harness import ACCOUNT, MAILBOX, PASSWORD, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT, until

Json = dict[str, Any]
REFUSED = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Complete Postern with its upstream."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
    ):
        yield harness


async def asked(harness: Harness, query: str = "", status: int = 200, *, key: bool = True) -> Json:
    """Return the response of /readyz."""
    if key:
        answer = await harness.caller.get(f"/readyz{query}")
    else:
        async with httpx.AsyncClient(
            base_url=harness.postern.url, timeout=WAIT_TIMEOUT, trust_env=False
        ) as without_key:
            answer = await without_key.get(f"/readyz{query}")
    assert answer.status_code == status, answer.text
    assert PASSWORD not in answer.text
    body: Json = answer.json()
    return body


async def until_status(harness: Harness, status: str) -> Json:
    """Return the response once it has this status."""

    async def reached() -> Json | None:
        body: Json = (await harness.caller.get("/readyz")).json()
        return body if body["status"] == status else None

    return await until(reached)


def of(body: Json, step: str, key: str = "findings") -> Json:
    """Return the one finding of a step."""
    [found] = [one for one in body[key] if one.get("step", one.get("check")) == step]
    return dict(found)


def written(folder: Path, *statements: str) -> None:
    """Write into the database as another program."""
    with closing(sqlite3.connect(folder / "postern.db", timeout=20)) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()


async def test_a_healthy_postern_is_ready_without_a_login(harness: Harness) -> None:
    """With and without a key."""
    assert await asked(harness, key=False) == {"status": "ready", "relaying": True, "reasons": []}
    assert await asked(harness, "?relaying=1") == {"status": "ready", "relaying": True, "reasons": []}
    assert harness.simulator.logins == []


async def test_a_read_only_store_is_not_ready(harness: Harness, tmp_path: Path) -> None:
    """503 with the reason, also without a key; 200 once it is fixed."""
    await asked(harness)
    written(tmp_path, "ALTER TABLE heartbeat RENAME TO gone")
    body = await until_status(harness, "not_ready")
    assert (body["statusCode"], body["name"]) == (503, "application_error")
    assert of(body, "store", "reasons")["fix"].startswith("Check that the database answers")
    await asked(harness, "?deep=1", 503, key=False)
    written(tmp_path, "ALTER TABLE gone RENAME TO heartbeat")
    await until_status(harness, "ready")


async def test_a_database_migrated_meanwhile_is_not_ready(harness: Harness, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "postern.db")) as other:
        [(ours,)] = other.execute("SELECT version_num FROM alembic_version").fetchall()
    written(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    body = await until_status(harness, "not_ready")
    assert "another version of Postern" in of(body, "schema", "reasons")["summary"]
    written(tmp_path, f"UPDATE alembic_version SET version_num = '{ours}'")
    await until_status(harness, "ready")


async def test_a_hanging_database_is_reported_within_the_bound(harness: Harness, tmp_path: Path) -> None:
    """All requests are answered within the bound, with a key or without; the deep check waits no longer."""
    with closing(sqlite3.connect(tmp_path / "postern.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(15):
            bodies = await asyncio.gather(
                *(asked(harness, query, 503, key=key) for query in ("", "?deep=1") for key in (True, False))
            )
        other.execute("ROLLBACK")
    assert {body["status"] for body in bodies} == {"not_ready"}
    await until_status(harness, "ready")


async def held(harness: Harness) -> Json:
    """Hold the mailbox by one failed login."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox"))
    await harness.post()
    return await until_status(harness, "degraded")


async def test_a_held_mailbox_degrades_readiness(harness: Harness) -> None:
    """200, as mail is still accepted; its name needs a key; with relaying=1 it is 503."""
    named = await held(harness)
    reason = of(named, "mailbox", "reasons")
    assert (reason["mailbox"], named["relaying"]) == (MAILBOX, False)
    assert "is switched off for this mailbox" in reason["summary"]
    assert f"Set-CASMailbox -Identity {MAILBOX}" in reason["fix"]
    unnamed = await asked(harness, key=False)
    assert unnamed["status"] == "degraded"
    assert "contoso.com" not in str(unnamed)
    assert (await asked(harness, "?relaying=1", 503))["status"] == "degraded"
    await harness.post()


async def test_a_deep_check_does_not_log_in_to_a_held_mailbox(harness: Harness) -> None:
    """It names the next login of the relay."""
    await held(harness)
    finding = of(await asked(harness, "?deep=1"), "auth")
    assert (finding["outcome"], finding["about"]) == ("skipped", MAILBOX)
    assert "the relay tries the next one automatically" in finding["summary"]
    assert len(harness.simulator.logins) == 1


async def test_a_deep_check_needs_a_full_access_key(harness: Harness) -> None:
    """It logs in and shows names."""
    assert (await asked(harness, "?deep=1", 401, key=False))["name"] == "missing_api_key"
    secret = new_key()
    key = Key(uuid4(), "shop", Permission.SENDING_ACCESS, harness.postern.clock.now())
    await harness.postern.store.create_key(key, digest(secret))
    answer = await harness.caller.get("/readyz?deep=1", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["name"]) == (401, "restricted_api_key")
    assert (await harness.caller.get("/readyz", headers={"Authorization": f"Bearer {secret}"})).status_code == 200
    assert harness.simulator.logins == []


async def test_concurrent_deep_checks_share_one_login(harness: Harness) -> None:
    """For a minute, and without mail."""
    bodies = await asyncio.gather(*(asked(harness, "?deep=1") for _ in range(40)))
    bodies.append(await asked(harness, "?deep=1"))
    assert {body["examined_at"] for body in bodies} == {bodies[0]["examined_at"]}
    assert of(bodies[0], "auth")["outcome"] == "ok"
    assert bodies[-1]["age_seconds"] < 60
    assert [login.ok for login in harness.simulator.logins] == [True]
    assert harness.simulator.messages == []


async def test_a_deep_check_uses_the_relays_session(harness: Harness) -> None:
    """A further session would use one of three."""
    await harness.until(await harness.post(), "done")
    assert of(await asked(harness, "?deep=1"), "auth") == {
        "step": "auth",
        "outcome": "ok",
        "summary": "The relay is logged in.",
        "fix": "",
        "facts": {},
        "about": MAILBOX,
        "cause": "",
        "steps": [],
    }
    assert len(harness.simulator.logins) == 1


@autojump
async def test_a_deep_check_does_not_exceed_the_session_limit(tmp_path: Path) -> None:
    """While the relay opens its only one, the doctor opens none."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        silent = simulator.faults.add(Fault(Point.AUTH, Silence()))
        settings = settings_for(simulator, tmp_path, connections=1)
        async with open_harness(simulator, settings, LoopClock()) as harness:
            await harness.post()
            await until(lambda: silent.reached)
            finding = of(await asked(harness, "?deep=1"), "auth")
            assert finding["outcome"] == "skipped"
            assert finding["summary"].startswith("Not tried: all connections of the mailbox are in use")
            assert silent.reached == 1


@autojump
async def test_a_failed_login_is_repeated_at_the_times_of_probes(tmp_path: Path) -> None:
    """Not each minute but after 5 minutes, then after an hour; meanwhile it says when it was tried. One that works
    ends it."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault(Point.AUTH, Say(REFUSED), times=2))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            tried: list[int] = []
            for after in (0, 61, 240, 61, 3540, 61):
                await advance(after)
                body = await asked(harness, "?deep=1")
                tried.append(len(simulator.logins))
            assert tried == [1, 1, 2, 2, 3, 4]
            assert body["status"] == "ready"


@autojump
async def test_a_failed_login_has_cause_fix_and_times(tmp_path: Path) -> None:
    """With the mailbox, the last and the next attempt."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault.named("smtp_auth_disabled_tenant"))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            first = await asked(harness, "?deep=1")
            assert (first["status"], first["relaying"]) == ("degraded", True)
            reason = of(first, "auth", "reasons")
            assert "switched off in your organization" in reason["summary"]
            assert f"-Identity {MAILBOX}" in reason["fix"]
            await advance(90)
            second = await asked(harness, "?deep=1")
            assert second["examined_at"] > first["examined_at"]
            assert of(second, "auth") == of(first, "auth")
            facts = of(second, "auth")["facts"]
            assert facts["tried at"] <= first["examined_at"] < facts["tried again from"]


@autojump
async def test_a_released_mailbox_is_checked_again(tmp_path: Path) -> None:
    """The failure before the release is not reused."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault(Point.AUTH, Say(REFUSED), times=1))
        simulator.faults.add(Fault(Point.IDLE, Drop(), after=30))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            assert of(await asked(harness, "?deep=1"), "auth")["outcome"] == "failed"
            await harness.caller.post(f"/mailboxes/{MAILBOX}/release")
            await advance(70)
            assert of(await asked(harness, "?deep=1"), "auth")["summary"] == "The login succeeded."
            assert [login.ok for login in simulator.logins] == [False, True, True]


BROKEN = {
    "closed port": ({}, "tcp-ipv4", "refused the connection", "POSTERN_SMTP_PORT (587)"),
    "no STARTTLS": ({"starttls": False}, "starttls", "does not offer STARTTLS", "check the host, the port"),
    "wrong host": ({"certificate": "wrong_host"}, "certificate", "for elsewhere.example", "POSTERN_SMTP_HOST"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_connection_has_the_doctors_cause_and_fix(harness: Harness, name: str) -> None:
    """No login is tried, and an upstream fault does not affect readiness."""
    face, step, cause, fix = BROKEN[name]
    if face:
        harness.simulator.profile = ServerProfile(**face)  # type: ignore[arg-type]
    else:
        await harness.simulator.stop()
    body = await asked(harness, "?deep=1")
    assert body["status"] == "degraded"
    reason = of(body, step, "reasons")
    assert cause in reason["summary"]
    assert fix in reason["fix"]
    assert "mailbox" not in reason
    assert of(body, "auth")["outcome"] == "skipped"
    assert harness.simulator.logins == []
