"""API keys: making one, and finding out whose a request is. A key itself is never kept, only its SHA-256."""

import asyncio
import secrets
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from starlette.requests import Request

from app.api.errors import InvalidKey, MissingKey, RestrictedKey
from app.api.wire import header
from app.clock import Clock
from app.store import Store
from app.store.records import Key, Permission

_PREFIX = "pst_"
_FRESH = 1.0  # seconds a found key is believed before the store is asked again; so long a revoked one may still work
_ROOM = 4096  # keys remembered at once


def new_key() -> str:
    """A key to hand out once: 192 random bits behind a prefix by which scanners for leaked secrets can know it."""
    return _PREFIX + secrets.token_urlsafe(24)


def digest(key: str) -> bytes:
    """What is stored of a key. It is random enough that a slow hash would protect nothing more."""
    return sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Found:
    key: asyncio.Future[Key | None]  # not done while the store is asked
    until: float  # by the monotonic clock


class Keyring:
    """The keys asked for lately. Looked up by digest, so that no time taken tells how much of a key is right."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._found: dict[bytes, _Found] = {}

    async def holder(self, request: Request) -> Key:
        """The key of the request. Raises MissingKey, InvalidKey, and StoreUnavailable."""
        key = await self._find(sha256(_bearer(request)).digest())
        if key is None or key.revoked_at is not None:
            raise InvalidKey
        return key

    async def reader(self, request: Request) -> Key:
        """The same for everything but sending. Raises RestrictedKey too."""
        return await self._holder_with(request, Permission.SENDING_ACCESS, Permission.FULL_ACCESS)

    async def administrator(self, request: Request) -> Key:
        """The same for what is beyond one caller's own mail."""
        return await self._holder_with(request, Permission.FULL_ACCESS)

    async def _holder_with(self, request: Request, *permissions: Permission) -> Key:
        key = await self.holder(request)
        if key.permission not in permissions:
            raise RestrictedKey(key.permission, permissions)
        return key

    async def _find(self, hashed: bytes) -> Key | None:
        """The store is asked once, however many callers come with the same key meanwhile."""
        now = self._clock.monotonic()
        found = self._found.get(hashed)
        if found is None or now >= found.until:
            found = _Found(asyncio.ensure_future(self._store.find_key(hashed)), now + _FRESH)
            found.key.add_done_callback(partial(self._forget_failure, hashed))
            if len(self._found) >= _ROOM:
                self._found.clear()
            self._found[hashed] = found
        return found.key.result() if found.key.done() else await asyncio.shield(found.key)

    def _forget_failure(self, hashed: bytes, asked: asyncio.Future[Key | None]) -> None:
        if asked.cancelled() or asked.exception() is not None:
            self._found.pop(hashed, None)


def _bearer(request: Request) -> bytes:
    """The key in `Authorization: Bearer <key>` (RFC 6750 §2.1), the scheme in any case."""
    scheme, _, token = (header(request.scope, b"authorization") or b"").strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise MissingKey
    return token.strip()
