"""Concurrent callers that record every id of a 200. They outlive any Postern process."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from tests.crash.process_control import caller_for
from tests.harness import EMAIL

LARGE = "a line of a large message\n" * 8000  # some 200 KiB: several pieces, so that a kill finds it half uploaded
AGAIN = 0.02  # seconds until a refused connection is tried again


@dataclass(slots=True)
class Post:
    """One posted email, perhaps several times under one Idempotency-Key. `address` is its recipient."""

    address: str
    key: str | None
    large: bool = False
    ids: set[str] = field(default_factory=set)
    asked: int = 0

    @property
    def accepted(self) -> bool:
        """Return whether a 200 was read."""
        return bool(self.ids)

    async def ask(self, http: httpx.AsyncClient) -> httpx.Response:
        """Post it once."""
        self.asked += 1
        body = {**EMAIL, "to": self.address, **({"text": LARGE} if self.large else {})}
        return await http.post("/emails", json=body, headers={"Idempotency-Key": self.key} if self.key else {})


class Callers:
    """Eight callers, for the time of `async with`. `pause`: maximum seconds between two posts of one caller."""

    def __init__(self, port: int, chance: random.Random, *, pause: float = 0.08) -> None:
        self.posts: list[Post] = []
        self.refused: list[httpx.Response] = []
        self.answered = 0
        self.on_post: Callable[[], None] = lambda: None  # called when a request is about to leave
        self._chance = chance
        self._pause = pause
        self._stopping = False
        self._given_up = False
        self._http = caller_for(port)
        self._calling: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._calling = [asyncio.create_task(self._call(number)) for number in range(8)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = self._given_up = True  # never cancelled: a connect that is cancelled leaves its socket behind
        await asyncio.gather(*self._calling, return_exceptions=True)
        await self._http.aclose()

    @property
    def accepted(self) -> list[Post]:
        """Those for which a 200 was read."""
        return [post for post in self.posts if post.accepted]

    async def stop(self) -> None:
        """Begin no further post, and wait until running ones are answered."""
        self._stopping = True
        await asyncio.gather(*self._calling)

    def begin(self, post: Post) -> None:
        """Post it as one caller more, until it is answered."""
        self._calling.append(asyncio.create_task(self.post(post)))

    async def post(self, post: Post) -> None:
        """Post until a 200 is read; without a key, only until the request may have arrived."""
        self.posts.append(post)
        while not post.accepted and not self._given_up:
            try:
                await self._once(post)
            except httpx.ConnectError:
                await asyncio.sleep(AGAIN)
            except httpx.TransportError:  # it may have been stored: only a key makes it safe to repeat
                if post.key is None:
                    return
                await asyncio.sleep(AGAIN)

    async def _once(self, post: Post) -> None:
        self.on_post()
        answer = await post.ask(self._http)
        if answer.status_code == 200:
            self.answered += 1
            post.ids.add(answer.json()["id"])
        else:
            self.refused.append(answer)
            await asyncio.sleep(AGAIN)

    async def _call(self, caller: int) -> None:
        """Post repeatedly, every second time under an Idempotency-Key."""
        number = 0
        while not self._stopping:
            number += 1
            name = f"c{caller}n{number}"
            await self.post(Post(f"{name}@example.net", name if number % 2 else None))
            await asyncio.sleep(self._chance.uniform(0, self._pause))
