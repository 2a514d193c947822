"""POSTERN_API_KEY: one key with the secret of the setting. Changes by an administrator remain after a restart."""

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
from app.store.keys.audit import Actor
from app.store.keys.records import Key, Permission
from app.store.keys.setting_key import SettingKeyOutcome
from tests.harness import ACCOUNT, EMAIL, KEY, settings_for
from tests.waiting import WAIT_TIMEOUT


async def post(postern: Postern, secret: str) -> int:
    """Submit an email and return the status of the response."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as caller:
        answer = await caller.post("/emails", json=EMAIL, headers={"Authorization": f"Bearer {secret}"})
        return answer.status_code


async def request(postern: Postern, method: str, path: str, secret: str, **body: object) -> dict[str, object]:
    """Send a request that must succeed, and return the response."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as caller:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await caller.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found


async def test_the_key_is_valid_after_every_start(tmp_path: Path) -> None:
    """The key has full access, is created once, and the audit has its creation."""
    async with Simulator([ACCOUNT]) as simulator:
        for _ in range(2):
            async with Postern(settings_for(simulator, tmp_path)) as postern:
                assert await post(postern, KEY) == 200
                listed = await request(postern, "GET", "/keys", KEY)
                assert isinstance(listed["data"], list)
                assert [(one["name"], one["permission"]) for one in listed["data"]] == [
                    ("POSTERN_API_KEY", "full_access")
                ]
                (entry,) = await postern.store.audit(None, 9)
                assert (entry.entry.action, entry.entry.by.name) == ("key.created", "settings")


async def test_a_rotated_key_is_not_created_again(tmp_path: Path) -> None:
    """The old secret of the setting is refused. A setting with the new secret creates no other key."""
    async with Simulator([ACCOUNT]) as simulator:
        async with Postern(settings_for(simulator, tmp_path)) as postern:
            found = await postern.store.find_key(digest(KEY))
            assert found is not None
            rotated = await request(postern, "POST", f"/keys/{found.key.id}/rotate", KEY, overlap=0)
        new = str(rotated["key"])
        for setting in (KEY, new):
            async with Postern(settings_for(simulator, tmp_path, api_key=SecretStr(setting))) as postern:
                assert await post(postern, KEY) == 403
                assert await post(postern, new) == 200
                assert len(await postern.store.keys()) == 1


async def test_a_revoked_key_stays_revoked(tmp_path: Path) -> None:
    """A restart does not make a revoked key valid again."""
    async with Simulator([ACCOUNT]) as simulator:
        for status in (200, 403):
            async with Postern(settings_for(simulator, tmp_path)) as postern:
                assert await post(postern, KEY) == status
                if status == 200:
                    found = await postern.store.find_key(digest(KEY))
                    assert found is not None
                    await request(postern, "DELETE", f"/keys/{found.key.id}", KEY)


BEFORE = UUID("5f1f0a8e-9a55-4e0c-8d56-7c1d3a0f6b11")  # with which the versions before named a key of each value
ONE, TWO, THREE = "the-first-value-of-it", "the-second-value-of-it", "the-third-value-of-it"


def settings(simulator: Simulator, folder: Path, secret: str | None) -> Settings:
    """Return settings with this value of POSTERN_API_KEY, or without it."""
    return settings_for(simulator, folder, api_key=secret and SecretStr(secret))


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[Store]:
    """Open the database of this folder without Postern."""
    store = await Store.open(f"sqlite:///{folder}/postern.db")
    try:
        yield store
    finally:
        await store.close()


async def may_send(postern: Postern, *secrets: str) -> list[bool]:
    """Return for each secret whether it may send."""
    return [await post(postern, one) == 200 for one in secrets]


async def in_use(store: Store) -> list[Key]:
    """Return the keys that are not revoked."""
    return [record.key for record in await store.keys() if record.key.revoked_at is None]


async def test_another_value_replaces_the_secret(tmp_path: Path) -> None:
    """A changed setting changes the secret of the same key, whose emails stay. The audit has the change."""
    ids = set()
    async with Simulator([ACCOUNT]) as simulator:
        for number, value in enumerate((ONE, TWO, THREE)):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                expected = [place == number for place in range(3)]
                assert await may_send(postern, ONE, TWO, THREE) == expected
                (key,) = await in_use(postern.store)
                assert (key.name, key.permission) == ("POSTERN_API_KEY", Permission.FULL_ACCESS)
                ids.add(key.id)
                entry = (await postern.store.audit(None, 9))[0].entry
                assert (entry.action, entry.by.name) == ("key.rotated" if number else "key.created", "settings")
                assert entry.subject == str(key.id)
    assert len(ids) == 1


async def test_an_older_value_changes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A replica that starts with an older value changes nothing and logs a warning."""
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in ((ONE, [True, False]), (TWO, [False, True]), (ONE, [False, True])):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await may_send(postern, ONE, TWO) == expected
    assert "key.ignored" in capfd.readouterr().err


async def test_keys_of_earlier_values_are_revoked(tmp_path: Path) -> None:
    """An older version created one key for each value: those of other values are revoked, other keys remain."""
    async with open_store(tmp_path) as store:
        for number, value in enumerate((ONE, TWO)):
            key = Key(uuid5(BEFORE, digest(value).hex()), "POSTERN_API_KEY", Permission.FULL_ACCESS, 1000.0 + number)
            await store.create_key(key, digest(value), Actor("settings"))
        await store.create_key(Key(uuid4(), "POSTERN_API_KEY", Permission.FULL_ACCESS, 1001.0), digest(KEY))
    async with Simulator([ACCOUNT]) as simulator, Postern(settings(simulator, tmp_path, THREE)) as postern:
        assert await may_send(postern, ONE, TWO, THREE, KEY) == [False, False, True, True]
        assert len(await in_use(postern.store)) == 2
        actions = [record.entry.action for record in await postern.store.audit(None, 9)]
        assert actions[:2] == ["key.revoked", "key.rotated"]


@pytest.mark.parametrize("value", [ONE, TWO])
async def test_the_key_of_the_current_value_remains(tmp_path: Path, value: str) -> None:
    """Of the keys of an older version, the one with the current value remains, with its id."""
    async with open_store(tmp_path) as store:
        for number, one in enumerate((ONE, TWO)):
            key = Key(uuid5(BEFORE, digest(one).hex()), "renamed since", Permission.FULL_ACCESS, 1000.0 + number)
            await store.create_key(key, digest(one), Actor("settings"))
    async with Simulator([ACCOUNT]) as simulator, Postern(settings(simulator, tmp_path, value)) as postern:
        assert await may_send(postern, ONE, TWO) == [value == ONE, value == TWO]
        (key,) = await in_use(postern.store)
        assert key.id == uuid5(BEFORE, digest(value).hex())


async def test_without_the_setting_the_key_is_revoked(tmp_path: Path) -> None:
    """The key is revoked at the next start and stays revoked; a new value creates another key."""
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in (
            (ONE, [True, False]),
            (None, [False, False]),
            (ONE, [False, False]),
            (TWO, [False, True]),
        ):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await may_send(postern, ONE, TWO) == expected


async def test_the_secret_of_another_key_in_the_setting(tmp_path: Path) -> None:
    """That key stays independent of later values of the setting; the key of the setting is revoked."""
    async with open_store(tmp_path) as store:
        await store.create_key(Key(uuid4(), "shop", Permission.SENDING_ACCESS, 1000.0), digest(KEY))
    async with Simulator([ACCOUNT]) as simulator:
        for value, expected in ((ONE, [True, True]), (KEY, [False, True]), (None, [False, True])):
            async with Postern(settings(simulator, tmp_path, value)) as postern:
                assert await may_send(postern, ONE, KEY) == expected


async def test_changes_by_an_administrator_remain(tmp_path: Path) -> None:
    """A new secret does not change the restrictions of the key."""
    async with Simulator([ACCOUNT]) as simulator:
        async with Postern(settings(simulator, tmp_path, ONE)) as postern:
            (key,) = await in_use(postern.store)
            await request(postern, "PATCH", f"/keys/{key.id}", ONE, name="first", disabled=True)
        async with Postern(settings(simulator, tmp_path, TWO)) as postern:
            (key,) = await in_use(postern.store)
            assert (key.name, key.disabled) == ("first", True)
            assert await may_send(postern, ONE, TWO) == [False, False]


async def test_replicas_that_start_at_the_same_time(tmp_path: Path) -> None:
    """One key with one secret remains, whatever values the replicas have."""
    async with open_store(tmp_path) as one, open_store(tmp_path) as two:
        both = await asyncio.gather(one.apply_setting(digest(ONE), 1000.0), two.apply_setting(digest(TWO), 1000.5))
        assert {applied.outcome for applied in both} == {SettingKeyOutcome.CREATED, SettingKeyOutcome.REPLACED}
        (key,) = await in_use(one)
        valid = [found for value in (ONE, TWO) if (found := await one.find_key(digest(value))) and found.until is None]
        assert [found.key.id for found in valid] == [key.id]
        again = await asyncio.gather(*(store.apply_setting(digest(THREE), 1001.0) for store in (one, two)))
        assert sorted(applied.outcome for applied in again) == [SettingKeyOutcome.REPLACED, SettingKeyOutcome.UNCHANGED]
