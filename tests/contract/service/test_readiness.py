"""GET /readyz of a whole Postern: what it says when something is broken, how soon, and what it costs."""

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
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, MAILBOX, PASSWORD, WAIT_TIMEOUT, Harness, open_harness, settings_for

Json = dict[str, Any]
REFUSED = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """A whole Postern and its upstream."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
    ):
        yield harness


async def asked(harness: Harness, query: str = "", status: int = 200, *, key: bool = True) -> Json:
    """What it says."""
    if key:
        answer = await harness.caller.get(f"/readyz{query}")
    else:
        async with httpx.AsyncClient(base_url=harness.postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as stranger:
            answer = await stranger.get(f"/readyz{query}")
    assert answer.status_code == status, answer.text
    assert PASSWORD not in answer.text
    body: Json = answer.json()
    return body


async def until(harness: Harness, status: str) -> Json:
    """What it says once it stands so."""
    async with asyncio.timeout(WAIT_TIMEOUT):
        while (body := (await harness.caller.get("/readyz")).json())["status"] != status:
            await asyncio.sleep(0.05)
    return dict(body)


def of(body: Json, step: str, key: str = "findings") -> Json:
    """The one finding of a step."""
    [found] = [one for one in body[key] if one.get("step", one.get("check")) == step]
    return dict(found)


def written(folder: Path, *statements: str) -> None:
    """Somebody else writes into the database."""
    with closing(sqlite3.connect(folder / "postern.db", timeout=20)) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()


async def test_a_healthy_one(harness: Harness) -> None:
    """Ready, without a key too, and without a login."""
    assert await asked(harness, key=False) == {"status": "ready", "relaying": True, "reasons": []}
    assert await asked(harness, "?relaying=1") == {"status": "ready", "relaying": True, "reasons": []}
    assert harness.simulator.logins == []


async def test_a_store_that_takes_nothing(harness: Harness, tmp_path: Path) -> None:
    """503 with the reason, to everybody alike; and 200 again when it is mended."""
    await asked(harness)
    written(tmp_path, "ALTER TABLE heartbeat RENAME TO gone")
    body = await until(harness, "not_ready")
    assert (body["statusCode"], body["name"]) == (503, "application_error")
    assert of(body, "store", "reasons")["fix"].startswith("Check that the database answers")
    await asked(harness, "?deep=1", 503, key=False)
    written(tmp_path, "ALTER TABLE gone RENAME TO heartbeat")
    await until(harness, "ready")


async def test_a_database_of_another_version(harness: Harness, tmp_path: Path) -> None:
    """It has been migrated under a running Postern."""
    with closing(sqlite3.connect(tmp_path / "postern.db")) as other:
        [(ours,)] = other.execute("SELECT version_num FROM alembic_version").fetchall()
    written(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    body = await until(harness, "not_ready")
    assert "another version of Postern" in of(body, "schema", "reasons")["summary"]
    written(tmp_path, f"UPDATE alembic_version SET version_num = '{ours}'")
    await until(harness, "ready")


async def test_a_database_that_hangs(harness: Harness, tmp_path: Path) -> None:
    """Everybody is told within the bound, with a key or without, however many ask; the deep look waits for nothing
    more."""
    with closing(sqlite3.connect(tmp_path / "postern.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(15):
            bodies = await asyncio.gather(
                *(asked(harness, query, 503, key=key) for query in ("", "?deep=1") for key in (True, False))
            )
        other.execute("ROLLBACK")
    assert {body["status"] for body in bodies} == {"not_ready"}
    await until(harness, "ready")


async def held(harness: Harness) -> Json:
    """One failed login, and the mailbox is held."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox"))
    await harness.post()
    return await until(harness, "degraded")


async def test_a_held_mailbox(harness: Harness) -> None:
    """200, degraded: mail is still accepted. Its name is for who has a key; with relaying=1 it is 503."""
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


async def test_a_held_mailbox_is_left_to_its_relay(harness: Harness) -> None:
    """A deep look makes no second login, and says who makes the next one."""
    await held(harness)
    finding = of(await asked(harness, "?deep=1"), "auth")
    assert (finding["outcome"], finding["about"]) == ("skipped", MAILBOX)
    assert "the relay tries the next one automatically" in finding["summary"]
    assert len(harness.simulator.logins) == 1


async def test_a_deep_look_asks_for_full_access(harness: Harness) -> None:
    """It logs in, and it tells names."""
    assert (await asked(harness, "?deep=1", 401, key=False))["name"] == "missing_api_key"
    secret = new_key()
    key = Key(uuid4(), "shop", Permission.SENDING_ACCESS, harness.postern.clock.now())
    await harness.postern.store.create_key(key, digest(secret))
    answer = await harness.caller.get("/readyz?deep=1", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["name"]) == (401, "restricted_api_key")
    assert (await harness.caller.get("/readyz", headers={"Authorization": f"Bearer {secret}"})).status_code == 200
    assert harness.simulator.logins == []


async def test_one_deep_look_for_all_who_ask(harness: Harness) -> None:
    """One login, and for a minute no other; no mail."""
    bodies = await asyncio.gather(*(asked(harness, "?deep=1") for _ in range(40)))
    bodies.append(await asked(harness, "?deep=1"))
    assert {body["examined_at"] for body in bodies} == {bodies[0]["examined_at"]}
    assert of(bodies[0], "auth")["outcome"] == "ok"
    assert bodies[-1]["age_seconds"] < 60
    assert [login.ok for login in harness.simulator.logins] == [True]
    assert harness.simulator.messages == []


async def test_no_login_where_the_relay_is_logged_in(harness: Harness) -> None:
    """Its session is proof enough, and a further one would be one of three."""
    await harness.until(await harness.post(), "done")
    assert of(await asked(harness, "?deep=1"), "auth") == {
        "step": "auth",
        "outcome": "ok",
        "summary": "The relay is logged in.",
        "fix": "",
        "facts": {},
        "about": MAILBOX,
    }
    assert len(harness.simulator.logins) == 1


@autojump
async def test_never_more_sessions_than_the_mailbox_may_have(tmp_path: Path) -> None:
    """While the relay opens its only one, the doctor opens none."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        silent = simulator.faults.add(Fault(Point.AUTH, Silence()))
        settings = settings_for(simulator, tmp_path, connections=1)
        async with open_harness(simulator, settings, LoopClock()) as harness:
            await harness.post()
            async with asyncio.timeout(WAIT_TIMEOUT):
                while not silent.reached:
                    await asyncio.sleep(0.01)
            finding = of(await asked(harness, "?deep=1"), "auth")
            assert finding["outcome"] == "skipped"
            assert finding["summary"].startswith("Not tried: all connections of the mailbox are in use")
            assert silent.reached == 1


@autojump
async def test_a_failed_login_is_not_repeated_before_a_probe_would_be(tmp_path: Path) -> None:
    """Not each minute but after 5 minutes, then after an hour; meanwhile it says when it was tried. One that works
    ends it."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault(Point.AUTH, Say(REFUSED), times=2))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            tried: list[int] = []
            for after in (0, 61, 240, 61, 3540, 61):
                await asyncio.sleep(after)
                body = await asked(harness, "?deep=1")
                tried.append(len(simulator.logins))
            assert tried == [1, 1, 2, 2, 3, 4]
            assert body["status"] == "ready"


@autojump
async def test_what_a_failed_login_says(tmp_path: Path) -> None:
    """The doctor's cause and fix, with the name, and when it was tried and will be again."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault.named("smtp_auth_disabled_tenant"))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            first = await asked(harness, "?deep=1")
            assert (first["status"], first["relaying"]) == ("degraded", True)
            reason = of(first, "auth", "reasons")
            assert "switched off in your organization" in reason["summary"]
            assert f"-Identity {MAILBOX}" in reason["fix"]
            await asyncio.sleep(90)
            second = await asked(harness, "?deep=1")
            assert second["examined_at"] > first["examined_at"]
            assert of(second, "auth") == of(first, "auth")
            facts = of(second, "auth")["facts"]
            assert facts["tried at"] <= first["examined_at"] < facts["tried again from"]


@autojump
async def test_a_mailbox_that_has_changed_is_tried_anew(tmp_path: Path) -> None:
    """A person has mended something and released it: the failure of before speaks for nobody."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault(Point.AUTH, Say(REFUSED), times=1))
        simulator.faults.add(Fault(Point.IDLE, Drop(), after=30))
        async with open_harness(simulator, settings_for(simulator, tmp_path), LoopClock()) as harness:
            assert of(await asked(harness, "?deep=1"), "auth")["outcome"] == "failed"
            await harness.caller.post(f"/mailboxes/{MAILBOX}/release")
            await asyncio.sleep(70)
            assert of(await asked(harness, "?deep=1"), "auth")["summary"] == "The login succeeded."
            assert [login.ok for login in simulator.logins] == [False, True, True]


BROKEN = {
    "closed port": ({}, "tcp-ipv4", "refused the connection", "POSTERN_SMTP_PORT (587)"),
    "no STARTTLS": ({"starttls": False}, "starttls", "does not offer STARTTLS", "check the host, the port"),
    "wrong host": ({"certificate": "wrong_host"}, "certificate", "for elsewhere.example", "POSTERN_SMTP_HOST"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_way_has_the_doctors_cause_and_fix(harness: Harness, name: str) -> None:
    """Where it breaks; no login is tried, and what the upstream does wrong does not make it not ready."""
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
