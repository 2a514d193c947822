"""POSTERN_API_KEY: one key, whose secret is the setting's. What an administrator decides about it outlives a start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from pydantic import SecretStr

from app.api.auth.authenticator import digest
from app.main import Postern
from app.settings import Settings
from app.simulator import Simulator
from app.store import Store
from app.store.keys.audit_records import Actor
from app.store.keys.records import Key, Permission
from app.store.keys.setting_key import Outcome
from tests.harness import ACCOUNT, EMAIL, KEY, WAIT_TIMEOUT, settings_for


async def post(postern: Postern, secret: str) -> int:
    """The status of an email that is handed in."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as caller:
        answer = await caller.post("/emails", json=EMAIL, headers={"Authorization": f"Bearer {secret}"})
        return answer.status_code


async def ask(postern: Postern, method: str, path: str, secret: str, **body: object) -> dict[str, object]:
    """A request that has to succeed."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as caller:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await caller.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found


async def test_it_works_after_every_start(tmp_path: Path) -> None:
    """It is one key with full access, made once; who made it is written down."""
    async with Simulator([ACCOUNT]) as simulator:
        for _ in range(2):
            async with Postern(settings_for(simulator, tmp_path)) as postern:
                assert await post(postern, KEY) == 200
                listed = await ask(postern, "GET", "/keys", KEY)
                assert isinstance(listed["data"], list)
                assert [(one["name"], one["permission"]) for one in listed["data"]] == [
                    ("POSTERN_API_KEY", "full_access")
                ]
                (entry,) = await postern.store.audit(None, 9)
                assert (entry.entry.action, entry.entry.by.name) == ("key.created", "settings")


async def test_a_rotated_one_is_not_made_again(tmp_path: Path) -> None:
    """The old secret stays refused though the setting still has it; a setting with the new one makes no other key."""
    async with Simulator([ACCOUNT]) as simulator:
        async with Postern(settings_for(simulator, tmp_path)) as postern:
            found = await postern.store.find_key(digest(KEY))
            assert found is not None
            rotated = await ask(postern, "POST", f"/keys/{found.key.id}/rotate", KEY, overlap=0)
        new = str(rotated["key"])
        for setting in (KEY, new):
            async with Postern(settings_for(simulator, tmp_path, api_key=SecretStr(setting))) as postern:
                assert await post(postern, KEY) == 403
                assert await post(postern, new) == 200
                assert len(await postern.store.keys()) == 1


async def test_a_revoked_one_stays_revoked(tmp_path: Path) -> None:
    """A restart gives nobody back what was taken."""
    async with Simulator([ACCOUNT]) as simulator:
        for status in (200, 403):
            async with Postern(settings_for(simulator, tmp_path)) as postern:
                assert await post(postern, KEY) == status
                if status == 200:
                    found = await postern.store.find_key(digest(KEY))
                    assert found is not None
                    await ask(postern, "DELETE", f"/keys/{found.key.id}", KEY)


BEFORE = UUID("5f1f0a8e-9a55-4e0c-8d56-7c1d3a0f6b11")  # with which the versions before named a key of each value
ONE, TWO, THREE = "the-first-value-of-it", "the-second-value-of-it", "the-third-value-of-it"


def settings(simulator: Simulator, folder: Path, secret: str | None) -> Settings:
    """With this value, or without the setting."""
    return settings_for(simulator, folder, api_key=secret and SecretStr(secret))


@asynccontextmanager
async def store_of(folder: Path) -> AsyncIterator[Store]:
    """The database of this folder, without a Postern."""
    store = await Store.open(f"sqlite:///{folder}/postern.db")
    try:
        yield store
    finally:
        await store.close()


async def works(postern: Postern, *secrets: str) -> list[bool]:
    """Of each secret, whether it is one that may send."""
    return [await post(postern, one) == 200 for one in secrets]


async def in_use(store: Store) -> list[Key]:
    """The keys that are not revoked."""
    return [record.key for record in await store.keys() if record.key.revoked_at is None]


async def test_another_value_replaces_the_secret(tmp_path: Path) -> None:
    """The same key, so that its mail stays its own; the old secret stops, and the audit says who did it."""
    ids = set()
    async with Simulator([ACCOUNT]) as simulator:
        for number, value in enumerate((ONE, TWO, THREE)):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                expected = [place == number for place in range(3)]
                assert await works(postern, ONE, TWO, THREE) == expected
                (key,) = await in_use(postern.store)
                assert (key.name, key.permission) == ("POSTERN_API_KEY", Permission.FULL_ACCESS)
                ids.add(key.id)
                entry = (await postern.store.audit(None, 9))[0].entry
                assert (entry.action, entry.by.name) == ("key.rotated" if number else "key.created", "settings")
                assert entry.subject == str(key.id)
    assert len(ids) == 1


async def test_an_older_value_changes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A replica that is started again before it has the new value; and a step back is said, not done."""
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in ((ONE, [True, False]), (TWO, [False, True]), (ONE, [False, True])):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await works(postern, ONE, TWO) == expected
    assert "key.ignored" in capfd.readouterr().err


async def test_keys_of_values_before_are_revoked(tmp_path: Path) -> None:
    """As an older version has left them: one for each value. People's keys stay as they are."""
    async with store_of(tmp_path) as store:
        for number, value in enumerate((ONE, TWO)):
            key = Key(uuid5(BEFORE, digest(value).hex()), "POSTERN_API_KEY", Permission.FULL_ACCESS, 1000.0 + number)
            await store.create_key(key, digest(value), Actor("settings"))
        await store.create_key(Key(uuid4(), "POSTERN_API_KEY", Permission.FULL_ACCESS, 1001.0), digest(KEY))
    async with Simulator([ACCOUNT]) as simulator, Postern(settings(simulator, tmp_path, THREE)) as postern:
        assert await works(postern, ONE, TWO, THREE, KEY) == [False, False, True, True]
        assert len(await in_use(postern.store)) == 2
        actions = [record.entry.action for record in await postern.store.audit(None, 9)]
        assert actions[:2] == ["key.revoked", "key.rotated"]


@pytest.mark.parametrize("value", [ONE, TWO])
async def test_the_key_of_the_value_that_is_set_stays(tmp_path: Path, value: str) -> None:
    """Of those that an older version has left, with its id."""
    async with store_of(tmp_path) as store:
        for number, one in enumerate((ONE, TWO)):
            key = Key(uuid5(BEFORE, digest(one).hex()), "renamed since", Permission.FULL_ACCESS, 1000.0 + number)
            await store.create_key(key, digest(one), Actor("settings"))
    async with Simulator([ACCOUNT]) as simulator, Postern(settings(simulator, tmp_path, value)) as postern:
        assert await works(postern, ONE, TWO) == [value == ONE, value == TWO]
        (key,) = await in_use(postern.store)
        assert key.id == uuid5(BEFORE, digest(value).hex())


async def test_without_the_setting_the_key_is_revoked(tmp_path: Path) -> None:
    """At the next start, and it stays so; a fresh value makes another."""
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in (
            (ONE, [True, False]),
            (None, [False, False]),
            (ONE, [False, False]),
            (TWO, [False, True]),
        ):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await works(postern, ONE, TWO) == expected


async def test_the_secret_of_another_key_in_the_setting(tmp_path: Path) -> None:
    """That key stays the person's, whatever the setting says later; the setting's own is revoked."""
    async with store_of(tmp_path) as store:
        await store.create_key(Key(uuid4(), "shop", Permission.SENDING_ACCESS, 1000.0), digest(KEY))
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in ((ONE, [True, True]), (KEY, [False, True]), (None, [False, True])):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await works(postern, ONE, KEY) == expected


async def test_what_a_person_has_set_of_it_stays(tmp_path: Path) -> None:
    """A new secret gives nobody more than the key had."""
    async with Simulator([ACCOUNT]) as simulator:
        async with Postern(settings(simulator, tmp_path, ONE)) as postern:
            (key,) = await in_use(postern.store)
            await ask(postern, "PATCH", f"/keys/{key.id}", ONE, name="first", disabled=True)
        async with Postern(settings(simulator, tmp_path, TWO)) as postern:
            (key,) = await in_use(postern.store)
            assert (key.name, key.disabled) == ("first", True)
            assert await works(postern, ONE, TWO) == [False, False]


async def test_replicas_that_start_at_once(tmp_path: Path) -> None:
    """Whatever values they have, one key is left, and one secret."""
    async with store_of(tmp_path) as one, store_of(tmp_path) as two:
        both = await asyncio.gather(one.apply_setting(digest(ONE), 1000.0), two.apply_setting(digest(TWO), 1000.5))
        assert {applied.outcome for applied in both} == {Outcome.CREATED, Outcome.REPLACED}
        (key,) = await in_use(one)
        valid = [found for value in (ONE, TWO) if (found := await one.find_key(digest(value))) and found.until is None]
        assert [found.key.id for found in valid] == [key.id]
        again = await asyncio.gather(*(store.apply_setting(digest(THREE), 1001.0) for store in (one, two)))
        assert sorted(applied.outcome for applied in again) == [Outcome.REPLACED, Outcome.UNCHANGED]
