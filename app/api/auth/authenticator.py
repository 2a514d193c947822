"""API keys at the door: making a secret, and finding out whose a request is. Kept is only the SHA-256 of it."""

import asyncio
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from starlette.requests import Request

from app.api.auth.rate_limit_headers import RateLimitHeaders
from app.api.auth.refusal_audit import KEY_CHECKED_FOR
from app.api.http.headers import header
from app.api.problems.problem import InvalidKey, MissingKey, RestrictedKey, Unavailable
from app.clock import Clock
from app.store import Store, StoreError
from app.store.keys.audit_records import Actor
from app.store.keys.records import AuthenticatedKey, Key, Permission

_PREFIX = "pst_"
_MAX_CACHED_KEYS = 4096  # keys remembered at once
_MOST_WAITING = 2000  # keys that have not worked here, to be looked up
_FLOOD = "Too many unknown API keys are waiting to be looked up. Nothing was kept; try again in a moment."
DEFAULT_OVERLAP = 86_400  # seconds for which the old secret works beside a new one
MAX_OVERLAP = 30 * 86_400
_LAST_USED_RESOLUTION = 60.0  # seconds; for so long a use of a key is not written down again


def new_key() -> str:
    """A key to hand out once: 192 random bits behind a prefix by which scanners for leaked secrets can know it."""
    return _PREFIX + secrets.token_urlsafe(24)


def digest(key: str) -> bytes:
    """What is stored of a key. It is random enough that a slow hash would protect nothing more."""
    return sha256(key.encode()).digest()


def actor(request: Request, key: Key) -> Actor:
    """Who the audit says it was."""
    return Actor(key.name, key.id, request.scope["request_id"])


@dataclass(frozen=True, slots=True)
class _Found:
    presented: asyncio.Future[AuthenticatedKey | None]  # not done while the store is asked
    until: float  # by the monotonic clock


class Authenticator:
    """The keys asked for lately. Looked up by digest, so that no time taken tells how much of a key is right."""

    def __init__(self, store: Store, clock: Clock, rates: RateLimitHeaders) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._found: dict[bytes, _Found] = {}
        self._known: dict[bytes, None] = {}  # the digests of keys that have worked here
        self._unknown = asyncio.Lock()
        self._waiting = 0  # lookups of keys that are not among the known ones
        self._touching: set[asyncio.Task[None]] = set()

    async def any_key(self, request: Request) -> Key:
        """The key of the request. Raises MissingKey, InvalidKey, Unavailable, and StoreUnavailable."""
        presented = await self._find(sha256(_bearer(request)).digest())
        if presented is None or not self._works(presented):
            raise InvalidKey
        request.scope["caller"].identify(presented.key, partial(self.any_key, request))
        return presented.key

    async def read_access(self, request: Request) -> Key:
        """The same for everything but sending. Raises RestrictedKey too."""
        return await self._with_permission(request, Permission.SENDING_ACCESS, Permission.FULL_ACCESS)

    async def full_access(self, request: Request) -> Key:
        """The same for what is beyond one caller's own mail."""
        return await self._with_permission(request, Permission.FULL_ACCESS)

    async def _with_permission(self, request: Request, *permissions: Permission) -> Key:
        key = await self.any_key(request)
        if key.permission not in permissions:
            raise RestrictedKey(key.permission, permissions)
        return key

    def _works(self, presented: AuthenticatedKey) -> bool:
        return presented.key.is_usable and (presented.until is None or self._clock.now() < presented.until)

    async def _find(self, hashed: bytes) -> AuthenticatedKey | None:
        """The store is asked once, however many callers come with the same key meanwhile."""
        now = self._clock.monotonic()
        found = self._found.get(hashed)
        if found is None or now >= found.until:
            found = _Found(asyncio.ensure_future(self._asked(hashed)), now + KEY_CHECKED_FOR)
            found.presented.add_done_callback(partial(self._key_found, hashed))
            if len(self._found) >= _MAX_CACHED_KEYS:
                self._found = {one: of for one, of in self._found.items() if one in self._known}
            self._found[hashed] = found
        return found.presented.result() if found.presented.done() else await asyncio.shield(found.presented)

    def _asked(self, hashed: bytes) -> Coroutine[None, None, AuthenticatedKey | None]:
        """Keys that have not worked here yet are looked up one at a time: a flood of wrong ones takes one reader of the
        store, and a key that has worked never waits for it. Raises Unavailable."""
        if hashed in self._known:
            return self._store.find_key(hashed)
        if self._waiting >= _MOST_WAITING:
            raise Unavailable(_FLOOD, retry_after=1)
        self._waiting += 1
        return self._in_turn(hashed)

    async def _in_turn(self, hashed: bytes) -> AuthenticatedKey | None:
        try:
            async with self._unknown:
                return await self._store.find_key(hashed)
        finally:
            self._waiting -= 1

    def _key_found(self, hashed: bytes, asked: asyncio.Future[AuthenticatedKey | None]) -> None:
        """A failure is not remembered; a key that was found is written down as used, if that was a while ago."""
        if asked.cancelled() or asked.exception() is not None:
            self._found.pop(hashed, None)
            return
        presented, now = asked.result(), self._clock.now()
        if presented is None or not self._works(presented):
            self._known.pop(hashed, None)
            return
        self._remember(hashed)
        if presented.usage is not None:
            self._rates.record_usage(presented.key.id, presented.usage)
        if presented.last_used_at is None or now >= presented.last_used_at + _LAST_USED_RESOLUTION:
            task = asyncio.ensure_future(self._touch(presented.key, now))
            self._touching.add(task)
            task.add_done_callback(self._touching.discard)

    def _remember(self, hashed: bytes) -> None:
        """The last ones that have worked; fewer than fit, so that others have room beside them."""
        self._known.pop(hashed, None)
        while len(self._known) >= _MAX_CACHED_KEYS // 2:
            del self._known[next(iter(self._known))]
        self._known[hashed] = None

    async def _touch(self, key: Key, now: float) -> None:
        with suppress(StoreError):  # the next one who comes with it tries again
            await self._store.touch_key(key.id, now)


def _bearer(request: Request) -> bytes:
    """The key in `Authorization: Bearer <key>` (RFC 6750 §2.1), the scheme in any case."""
    scheme, _, token = (header(request.scope, b"authorization") or b"").strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise MissingKey
    return token.strip()
