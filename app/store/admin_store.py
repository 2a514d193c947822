"""Administrative methods of the store: keys, sessions, audit, suppressions, erasure, hold requests of mailboxes."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from app.mail.lifecycle import MessageState
from app.store import erase
from app.store.db import vacuum
from app.store.db.methods import ReadMethod, WriteMethod
from app.store.db.reader import Reader
from app.store.db.writer import Writer
from app.store.erase import Erased, EraseOutcome, Erasure
from app.store.keys import audit as audit_rows
from app.store.keys import ended_sessions, setting_key
from app.store.keys import keys as api_keys
from app.store.keys.audit import Actor
from app.store.keys.records import NewKey, Revocation
from app.store.mailboxes import conditions
from app.store.records import FIRST_ID
from app.store.retention import BATCH_SIZE
from app.store.suppressions import entries


class AdminStore:
    """Base of `Store` with the administrative methods."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._write = writer.write
        self._read = reader.read
        self._run = reader.run

    # Keys

    create_key = WriteMethod(api_keys.create, NewKey)
    keys = ReadMethod(api_keys.list_all)

    async def key_names(self) -> dict[UUID, str]:
        """Return the name of each key, of revoked ones too."""
        return {record.key.id: record.key.name for record in await self.keys()}

    key = ReadMethod(api_keys.get)
    revise_key = WriteMethod(api_keys.revise)
    rotate_key = WriteMethod(api_keys.rotate)
    revoke_key = WriteMethod(api_keys.revoke, Revocation)
    apply_setting = WriteMethod(setting_key.apply, setting_key.Setting)
    find_key = ReadMethod(api_keys.find)

    async def touch_key(self, id: UUID, now: float) -> None:
        """Record the use of a key."""
        await self._write(api_keys.touch, (id, now), batchable=True)

    # Sessions of the console

    end_session = WriteMethod(ended_sessions.end, ended_sessions.EndedSession)
    session_ended = ReadMethod(ended_sessions.has_ended)

    # Audit

    record = WriteMethod(audit_rows.record)
    record_refusals = WriteMethod(audit_rows.record_refusals)
    audit = ReadMethod(audit_rows.page)

    # Suppressions

    add_suppressions = WriteMethod(entries.add)
    remove_suppressions = WriteMethod(entries.remove)
    suppression = ReadMethod(entries.find)
    suppressions = ReadMethod(entries.page)

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

    hold_requests = ReadMethod(conditions.hold_requests)
    request_hold = WriteMethod(conditions.request_hold, conditions.RequestHold)
