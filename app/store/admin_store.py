"""Administrative methods of the store: keys, sessions, audit, suppressions, erasure, hold requests of mailboxes."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from app.mail.lifecycle import MessageState
from app.mail.suppression import Origin
from app.store import erase
from app.store.db import vacuum
from app.store.db.reader import Reader
from app.store.db.writer import Writer
from app.store.erase import Erased, EraseOutcome, Erasure
from app.store.keys import audit, ended_sessions, keys, setting_key
from app.store.keys.audit import Actor, AuditRecord, CountedEntry, Entry
from app.store.keys.records import AuthenticatedKey, Key, KeyRecord, KeyRevision, KeyRotation, NewKey, Revocation
from app.store.mailboxes import conditions
from app.store.mailboxes.records import HoldRequest
from app.store.records import FIRST_ID
from app.store.retention import BATCH_SIZE
from app.store.suppressions import entries
from app.store.suppressions.records import Additions, Removals, Suppression


class AdminStore:
    """Base of `Store` with the administrative methods."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._write = writer.write
        self._read = reader.read
        self._run = reader.run

    # Keys

    async def create_key(self, key: Key, digest: bytes, by: Actor | None = None) -> None:
        """Store a key by the SHA-256 of its secret. Raises AlreadyStoredError."""
        await self._write(keys.create, NewKey(key, digest, by))

    async def keys(self) -> list[KeyRecord]:
        """Return all keys, the oldest first, with the revoked ones."""
        return await self._read(keys.list_all)

    async def key_names(self) -> dict[UUID, str]:
        """Return the name of each key, of revoked ones too."""
        return {record.key.id: record.key.name for record in await self.keys()}

    async def key(self, id: UUID) -> KeyRecord | None:
        """Return one key; None if there is none of this id."""
        return await self._read(partial(keys.get, id=id))

    async def revise_key(self, revision: KeyRevision) -> Key | None:
        """Change a key and return it. None: there is none of this id. Raises PolicyError."""
        return await self._write(keys.revise, revision)

    async def rotate_key(self, rotation: KeyRotation) -> bool:
        """Give a key a new secret; the old one works until `old_until`. False: it does not exist or is revoked."""
        return await self._write(keys.rotate, rotation)

    async def revoke_key(self, id: UUID, now: float, by: Actor | None = None) -> bool:
        """Revoke a key. False: there is none of this id, or it is revoked already."""
        return await self._write(keys.revoke, Revocation(id, now, by))

    async def apply_setting(self, digest: bytes | None, now: float) -> setting_key.Applied:
        """Make this secret the only one of the key of POSTERN_API_KEY. `digest`: its SHA-256; None: no such setting."""
        return await self._write(setting_key.apply, setting_key.Setting(digest, now))

    async def find_key(self, digest: bytes) -> AuthenticatedKey | None:
        """Return the key of the secret with this SHA-256, also a revoked one; None if there is none."""
        return await self._read(partial(keys.find, digest=digest))

    async def touch_key(self, id: UUID, now: float) -> None:
        """Record the use of a key."""
        await self._write(keys.touch, (id, now), batchable=True)

    # Sessions of the console

    async def end_session(self, id: str, until: float, now: float) -> None:
        """Record the logout of a session; its cookie would expire at `until`."""
        await self._write(ended_sessions.end, ended_sessions.EndedSession(id, until, now))

    async def session_ended(self, id: str) -> bool:
        """Return True if the session was logged out."""
        return await self._read(partial(ended_sessions.has_ended, id=id))

    # Audit

    async def record(self, entry: Entry) -> None:
        """Record in the audit an action that changes nothing else in the store."""
        await self._write(audit.record, entry)

    async def record_refusals(self, refusals: Sequence[CountedEntry]) -> None:
        """Record refused sends in the audit; equal refusals of one period are one entry."""
        await self._write(audit.record_refusals, refusals)

    async def audit(self, before: UUID | None, limit: int) -> list[AuditRecord]:
        """Return up to `limit` entries, the newest first; with `before`, those older than this entry."""
        return await self._read(partial(audit.page, before=before, limit=limit))

    # Suppressions

    async def add_suppressions(self, additions: Additions) -> list[Suppression]:
        """Return the entry of each address. An existing one stays as it is, but does not expire any more."""
        return await self._write(entries.add, additions)

    async def remove_suppressions(self, removals: Removals) -> list[Suppression]:
        """Remove entries and return them; those that do not exist are left out."""
        return await self._write(entries.remove, removals)

    async def suppression(self, key: UUID | str, now: float) -> Suppression | None:
        """Return the entry of this id or address (in the form for comparisons); None if there is none."""
        return await self._read(partial(entries.find, key=key, now=now))

    async def suppressions(
        self,
        origin: Origin | None,
        limit: int,
        now: float,
        *,
        after: UUID | None = None,
        before: UUID | None = None,
    ) -> tuple[list[Suppression], bool]:
        """Return up to `limit` entries, the newest first, and whether there are more in this direction.

        With `after`, the next older ones than that entry; with `before`, the next newer ones.
        """
        return await self._read(partial(entries.page, origin=origin, limit=limit, now=now, after=after, before=before))

    # Erasure

    async def erase(self, ids: Sequence[UUID], now: float, by: Actor) -> dict[UUID, EraseOutcome | MessageState]:
        """Erase these emails in small steps; return by id the outcome, or the state of one that has not ended.

        Emails that have not ended are not changed. Call `scrub` afterwards.
        """
        return await self._erase(ids, now, by, "id")

    async def erase_address(self, address: str, now: float, by: Actor) -> Erased:
        """Erase every email with this address (see `normalize_address`). Call `scrub` afterwards."""
        count, waiting, after = 0, list[UUID](), FIRST_ID
        while True:
            found = await self._read(partial(erase.find, address=address, after=after))
            outcomes = await self._erase(found.over, now, by, "address")
            count += sum(outcome is EraseOutcome.ERASED for outcome in outcomes.values())
            waiting += found.waiting
            waiting += (id for id, outcome in outcomes.items() if isinstance(outcome, MessageState))
            if found.last is None:
                return Erased(count, tuple(waiting))
            after = found.last

    async def scrub(self, *, whole: bool = False) -> bool:
        """Remove remains of erased rows from the files of an embedded database. False: some may be left.

        Files of more than `vacuum.MAX_FULL_VACUUM` bytes are rewritten only if `whole`, because writers wait meanwhile.
        """
        return await self._run(partial(vacuum.scrub, whole=whole))

    async def _erase(
        self, ids: Sequence[UUID], now: float, by: Actor, asked: str
    ) -> dict[UUID, EraseOutcome | MessageState]:
        left, outcomes = list(dict.fromkeys(ids)), dict[UUID, EraseOutcome | MessageState]()
        while left:
            step = Erasure(tuple(left[:BATCH_SIZE]), now, by, asked)
            outcomes |= await self._write(erase.erase, step, batchable=True)
            left = [id for id in left if id not in outcomes]
        return outcomes

    # Mailboxes

    async def hold_requests(self) -> dict[str, HoldRequest]:
        """Return by mailbox the hold requests that are not fulfilled yet."""
        return await self._read(conditions.hold_requests)

    async def request_hold(self, name: str, request: HoldRequest, by: Actor | None = None) -> bool:
        """Request to hold or release a mailbox; its relay polls every second. False: there is no such mailbox."""
        return await self._write(conditions.request_hold, conditions.RequestHold(name, request, by))
