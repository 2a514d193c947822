"""POSTERN_API_KEY: the first key is there at every start, and what an administrator decides about it outlives them."""

from pathlib import Path

import httpx
from pydantic import SecretStr

from app.api.keys import digest
from app.main import Postern
from app.simulator import Simulator
from tests.house import ACCOUNT, EMAIL, KEY, PATIENCE, settings_for


async def post(postern: Postern, secret: str) -> int:
    """The status of an email that is handed in."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=PATIENCE, trust_env=False) as caller:
        answer = await caller.post("/emails", json=EMAIL, headers={"Authorization": f"Bearer {secret}"})
        return answer.status_code


async def ask(postern: Postern, method: str, path: str, secret: str, **body: object) -> dict[str, object]:
    """A request that has to succeed."""
    async with httpx.AsyncClient(base_url=postern.url, timeout=PATIENCE, trust_env=False) as caller:
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
