"""Authentication of requests by API key, and creation of secrets. Only the SHA-256 of a secret is stored."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from starlette.requests import Request
from starlette.types import Scope

from app.api.auth.limits import RateLimitHeaders
from app.api.http.headers import FIELDS
from app.api.problems.problem import InvalidKey, MissingKey, RestrictedKey, Unavailable
from app.clock import Clock
from app.mail.times import DAY, MINUTE
from app.store import Store, StoreError
from app.store.keys.records import AuthenticatedKey, Key, Permission

KEY_CHECKED_FOR = 1.0  # seconds for which the result of a key lookup is cached
_PREFIX = "pst_"
_MAX_CACHED_KEYS = 4096
_MAX_WAITING_LOOKUPS = 2000  # of keys that have not been valid in this process
_TOO_MANY_LOOKUPS = "Too many unknown API keys are waiting to be looked up. Nothing was stored. Try again in a moment."
DEFAULT_OVERLAP = DAY  # seconds for which the old secret stays valid
MAX_OVERLAP = 30 * DAY
_SEND_KEY = "Send it in the header `Authorization: Bearer <key>`."
_OTHER_KEY_HEADERS = ("X-Api-Key", "Api-Key", "ApiKey", "X-Postmark-Server-Token", "X-Auth-Token")
_LAST_USED_RESOLUTION = MINUTE  # seconds between two updates of `last_used_at`


def new_key() -> str:
    """Return a new key: 192 random bits after a prefix that scanners for leaked secrets can recognize."""
    return _PREFIX + secrets.token_urlsafe(24)


def digest(key: str) -> bytes:
    """Return the stored digest of a key. A slow hash would add nothing, because the key is random."""
    return sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Found:
    presented: asyncio.Future[AuthenticatedKey | None]  # not done while the store is asked
    until: float  # by the monotonic clock


class Authenticator:
    """Checks keys and their permissions, with a cache by digest. A lookup by digest leaks nothing through timing."""

    def __init__(self, store: Store, clock: Clock, rates: RateLimitHeaders) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._found: dict[bytes, _Found] = {}
        self._known: dict[bytes, None] = {}  # digests of keys that were valid in this process
        self._unknown = asyncio.Lock()
        self._waiting = 0  # lookups of keys that are not among the known ones
        self._touching: set[asyncio.Task[None]] = set()

    async def any_key(self, request: Request) -> Key:
        """Return the key of the request. Raises MissingKey, InvalidKey, Unavailable, and StoreUnavailable."""
        hashed = sha256(_bearer(request)).digest()
        key = await self._key(hashed)
        request.scope["caller"].identify(key, partial(self._key, hashed))
        return key

    async def require(self, request: Request, permissions: Sequence[Permission]) -> Key:
        """Return a key with one of these permissions. Raises RestrictedKey too."""
        key = await self.any_key(request)
        if key.permission not in permissions:
            raise RestrictedKey(key.permission, permissions)
        return key

    async def _key(self, hashed: bytes) -> Key:
        presented = await self._find(hashed)
        if presented is None or not self._works(presented):
            raise InvalidKey
        return presented.key

    def _works(self, presented: AuthenticatedKey) -> bool:
        return presented.until is None or self._clock.now() < presented.until

    async def _find(self, hashed: bytes) -> AuthenticatedKey | None:
        """Look a key up. Concurrent requests with the same key share one lookup."""
        now = self._clock.monotonic()
        found = self._found.get(hashed)
        if found is None or now >= found.until:
            found = _Found(asyncio.ensure_future(self._asked(hashed)), now + KEY_CHECKED_FOR)
            found.presented.add_done_callback(partial(self._key_found, hashed))
            if len(self._found) >= _MAX_CACHED_KEYS:
                self._found = {known: self._found[known] for known in self._found if known in self._known}
            self._found[hashed] = found
        return found.presented.result() if found.presented.done() else await asyncio.shield(found.presented)

    def _asked(self, hashed: bytes) -> Coroutine[None, None, AuthenticatedKey | None]:
        """Look up keys that were not valid here yet one at a time: a flood of wrong keys occupies one reader of the
        store, and known keys do not wait. Raises Unavailable."""
        if hashed in self._known:
            return self._usable(hashed)
        if self._waiting >= _MAX_WAITING_LOOKUPS:
            raise Unavailable(_TOO_MANY_LOOKUPS, retry_after=1)
        self._waiting += 1
        return self._in_turn(hashed)

    async def _in_turn(self, hashed: bytes) -> AuthenticatedKey | None:
        try:
            async with self._unknown:
                return await self._usable(hashed)
        finally:
            self._waiting -= 1

    async def _usable(self, hashed: bytes) -> AuthenticatedKey | None:
        """Return the stored key unless it is revoked or disabled."""
        presented = await self._store.find_key(hashed)
        return presented if presented is not None and presented.key.is_usable else None

    def _key_found(self, hashed: bytes, asked: asyncio.Future[AuthenticatedKey | None]) -> None:
        """Cache the result of a lookup, but no failure, and update `last_used_at` at most once a minute."""
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
        """Remember a valid key. At most half of the cache is for known keys."""
        self._known.pop(hashed, None)
        while len(self._known) >= _MAX_CACHED_KEYS // 2:
            del self._known[next(iter(self._known))]
        self._known[hashed] = None

    async def _touch(self, key: Key, now: float) -> None:
        with suppress(StoreError):  # the next request with the key retries
            await self._store.touch_key(key.id, now)


def _bearer(request: Request) -> bytes:
    """Return the key in `Authorization: Bearer <key>` (RFC 6750 §2.1), the scheme in any case."""
    given: bytes = request.scope[FIELDS].get(b"authorization", b"").strip()
    scheme, _, token = given.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise _missing_key(request.scope, given)
    return token.strip()


def _missing_key(scope: Scope, given: bytes) -> MissingKey:
    """Return the error for a header Authorization without a key. It never quotes the header: it may be a secret."""
    if given.lower() == b"bearer":
        return MissingKey(f"The header Authorization has no API key after `Bearer`. {_SEND_KEY}")
    if given and b" " not in given:
        return MissingKey(f"The header Authorization lacks the word `Bearer` before the API key. {_SEND_KEY}")
    if given:
        return MissingKey(f"The header Authorization has another scheme than Bearer. {_SEND_KEY}")
    for name in _OTHER_KEY_HEADERS:
        if scope[FIELDS].get(name.lower().encode()):
            return MissingKey(f"The header {name} is not read for an API key here. {_SEND_KEY}")
    return MissingKey()
