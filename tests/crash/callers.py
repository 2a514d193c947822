"""Callers that post at the same time and remember every id they read in a 200. They outlive any Postern."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.crash.nurse import caller_for
from tests.house import EMAIL

LARGE = "a line of a large message\n" * 8000  # some 200 KiB: several pieces, so that a kill finds it half uploaded
AGAIN = 0.02  # seconds until a door that is shut is tried again


@dataclass(slots=True)
class Post:
    """One email that was posted, perhaps several times under one Idempotency-Key. `address` is its recipient's."""

    address: str
    key: str | None
    ids: set[str] = field(default_factory=set)
    asked: int = 0

    @property
    def accepted(self) -> bool:
        """True if a 200 was read."""
        return bool(self.ids)


class Callers:
    """`run` posts until it is cancelled or told to `stop`. `pause` (seconds, at most) lies between a caller's posts."""

    def __init__(self, port: int, chance: random.Random, *, pause: float = 0.08) -> None:
        self.posts: list[Post] = []
        self.refused: list[httpx.Response] = []
        self.answered = 0
        self.on_post: Callable[[], None] = lambda: None  # called when a request is about to leave
        self._chance = chance
        self._pause = pause
        self._stopping = False
        self._http = caller_for(port)

    @property
    def accepted(self) -> list[Post]:
        """Those for which a 200 was read."""
        return [post for post in self.posts if post.accepted]

    async def run(self, callers: int = 8) -> None:
        """Post, every second time under an Idempotency-Key."""
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(self._call(number))

    def stop(self) -> None:
        """Begin no further post; what was begun under a key is repeated until it is answered."""
        self._stopping = True

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def post(self, post: Post, *, large: bool = False, **changes: object) -> None:
        """Post until a 200 is read; without a key, only until the request may have arrived."""
        body = {**EMAIL, "to": post.address, **({"text": LARGE} if large else {}), **changes}
        headers = {"Idempotency-Key": post.key} if post.key else {}
        self.posts.append(post)
        while not post.accepted:
            try:
                await self._once(post, body, headers)
            except httpx.ConnectError:
                await asyncio.sleep(AGAIN)
            except httpx.TransportError:  # it may have been kept: only a key makes it safe to repeat
                if post.key is None:
                    return
                await asyncio.sleep(AGAIN)

    async def _once(self, post: Post, body: dict[str, object], headers: dict[str, str]) -> None:
        self.on_post()
        post.asked += 1
        answer = await self._http.post("/emails", json=body, headers=headers)
        if answer.status_code == 200:
            self.answered += 1
            post.ids.add(answer.json()["id"])
        else:
            self.refused.append(answer)
            await asyncio.sleep(AGAIN)

    async def _call(self, caller: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            name = f"c{caller}n{number}"
            post = Post(f"{name}@example.net", name if number % 2 else None)
            await self.post(post)
            await asyncio.sleep(self._chance.uniform(0, self._pause))
