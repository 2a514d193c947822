"""Wrong API keys: guessing is not feasible, and a flood of them does not delay valid keys."""

import asyncio
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.requests import Request

from app.api.auth.authenticator import KEY_CHECKED_FOR, Authenticator, digest
from app.api.auth.limits import Caller, RateLimitHeaders
from app.api.http.headers import FIELDS
from app.api.problems.problem import InvalidKey, Unavailable
from app.clock import Clock
from app.quota import Quota
from app.simulator import Simulator
from app.store import Store
from app.store.keys.records import AuthenticatedKey, Key, Permission
from tests.clock import LoopClock, advance, autojump
from tests.harness import ACCOUNT, EMAIL, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT, until

RIGHT, NEW = "a-key-that-has-worked", "a-key-that-is-new-here"


class CountingStore(Store):
    """Store that counts its concurrent lookups."""

    now, most, times = 0, 0, 0

    async def find_key(self, digest: bytes) -> AuthenticatedKey | None:
        self.now += 1
        self.times += 1
        self.most = max(self.most, self.now)
        try:
            return await super().find_key(digest)
        finally:
            self.now -= 1


def request(secret: str) -> Request:
    """Return a request with this key."""
    fields = {b"authorization": f"Bearer {secret}".encode()}
    return Request({"type": "http", FIELDS: fields, "caller": Caller(Quota(10_000, 10_000), "")})


async def outcome(authenticator: Authenticator, secret: str) -> bool:
    """Return whether the key is valid."""
    try:
        await authenticator.any_key(request(secret))
    except InvalidKey:
        return False
    return True


async def opened(folder: Path, clock: Clock) -> tuple[CountingStore, Authenticator]:
    """Open a store with two keys, one of which has been used."""
    store = await CountingStore.open(f"sqlite:///{folder}/postern.db")
    for secret in (RIGHT, NEW):
        await store.create_key(Key(uuid4(), "shop", Permission.SENDING_ACCESS, clock.now()), digest(secret))
    authenticator = Authenticator(store, clock, RateLimitHeaders(clock.now))
    assert await outcome(authenticator, RIGHT)
    return store, authenticator


@autojump
async def test_wrong_keys_are_looked_up_one_at_a_time(tmp_path: Path) -> None:
    """Known keys bypass the queue; a valid new key waits its turn in it."""
    store, authenticator = await opened(tmp_path, LoopClock())
    await advance(2 * KEY_CHECKED_FOR)  # nothing that was found is believed any more
    store.most = 0
    wrong = [asyncio.create_task(outcome(authenticator, f"a-wrong-key-{number}")) for number in range(300)]
    await asyncio.sleep(0)
    assert await outcome(authenticator, RIGHT)
    assert not all(task.done() for task in wrong)
    assert await outcome(authenticator, NEW)
    assert not any(await asyncio.gather(*wrong))
    assert store.most == 2
    await store.close()


@autojump
async def test_the_same_wrong_key_is_looked_up_once_a_second(tmp_path: Path) -> None:
    clock = LoopClock()
    store, authenticator = await opened(tmp_path, clock)
    before = store.times
    for lookups in (1, 2):
        for _ in range(100):
            assert not await outcome(authenticator, "a-wrong-key")
        assert store.times - before == lookups
        await clock.advance(KEY_CHECKED_FOR)
    await store.close()


@autojump
async def test_wrong_keys_do_not_evict_a_valid_one(tmp_path: Path) -> None:
    """More of them than the cache of keys can store."""
    store, authenticator = await opened(tmp_path, LoopClock())
    for number in range(5000):
        assert not await outcome(authenticator, f"a-wrong-key-{number % 4500}")
        if number % 1000 == 0:
            before = store.times
            assert await outcome(authenticator, RIGHT)
            assert store.times - before <= 1
    await store.close()


@autojump
async def test_a_full_lookup_queue_answers_503(tmp_path: Path) -> None:
    """A key that has been used does not queue."""
    store, authenticator = await opened(tmp_path, LoopClock())
    await advance(2 * KEY_CHECKED_FOR)
    wrong = [asyncio.create_task(outcome(authenticator, f"a-wrong-key-{number}")) for number in range(2500)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await outcome(authenticator, NEW)
    assert await outcome(authenticator, RIGHT)
    ended = await asyncio.gather(*wrong, return_exceptions=True)
    assert {type(one) for one in ended} == {bool, Unavailable}
    assert await outcome(authenticator, NEW)
    await store.close()


async def test_a_flood_of_wrong_keys_does_not_delay_mail(tmp_path: Path) -> None:
    """An email is accepted and relayed while 100 callers send one wrong key after the other."""
    accepted, answers = asyncio.Event(), list[int]()
    async with Simulator([ACCOUNT]) as simulator, open_harness(simulator, settings_for(simulator, tmp_path)) as harness:

        async def flood(caller: int) -> None:
            for number in count():
                headers = {"authorization": f"Bearer a-wrong-key-{caller}-{number}"}
                answers.append((await attacker.post("/emails", json=EMAIL, headers=headers)).status_code)
                if accepted.is_set():
                    return

        async with httpx.AsyncClient(base_url=harness.postern.url, trust_env=False, timeout=WAIT_TIMEOUT) as attacker:
            callers = [asyncio.create_task(flood(number)) for number in range(100)]
            await until(lambda: len(answers) >= 100)
            await harness.post()
            await simulator.wait_for(1, WAIT_TIMEOUT)
            accepted.set()
            await asyncio.gather(*callers)
        assert {*answers} == {403}
