"""Order in which replicas lock rows: part of the protocol between two versions during a rolling upgrade."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from app.store.db import engine
from app.store.db.writer import Operation, Writer
from app.store.lock_order import LOCK_ORDER
from app.store.migrations import migrate

# One line per operation, in the order of release 0.1. Add an operation where it belongs; never move a line.
FROZEN = """
accept.accept tenant_quota.draw_quota audit.record audit.record_refusals claim.claim delay_notices.write_notices
deliveries.claim
deliveries.recover deliveries.replay deliveries.replay_failed deliveries.settle erase.erase outbox.publish
ping.write_probe keys.create keys.revise keys.revoke keys.rotate keys.touch setting_key.apply ended_sessions.end
conditions.save_condition conditions.request_hold ownership.heartbeat ownership.leave ownership.release
operator.cancel operator.confirm operator.retry recover.expire recover.recover operator.reschedule
recover.hold retention.prune vacuum.shrink clock_change.bring_forward clock_change.shorten settle.give_back
settle.mark_dot settle.renew settle.settle readers.hold readers.advance readers.release readers.advance_folder
apply.apply unseen.mark_unseen entries.add entries.remove recover.acquire endpoints.create
endpoints.remove endpoints.revise endpoints.rotate
"""


def test_the_order_is_frozen() -> None:
    """A moved operation can deadlock with a replica of the previous version."""
    names = [
        f"{operation.__module__.rpartition('.')[2]}.{operation.__qualname__}"
        for operation in sorted(LOCK_ORDER, key=LOCK_ORDER.__getitem__)
    ]
    assert names == FROZEN.split()


async def test_a_group_runs_in_that_order(sqlite_url: str) -> None:
    """For all names and every order of requests."""
    ran: list[str] = []

    def operation(name: str) -> Operation[None, None]:
        def run(_: Connection, batch: Sequence[None]) -> Sequence[None]:
            ran.append(name)
            return batch

        return run

    third, first, second = operation("third"), operation("first"), operation("second")
    migrate(sqlite_url)
    writer = Writer(engine.write_engine(sqlite_url), {first: 1, second: 2, third: 3})
    pending = [writer.write(one, None) for one in (third, first, second, first)]
    await asyncio.gather(*pending)
    await writer.close()
    assert ran == ["first", "second", "third"]


async def test_a_verb_without_a_place_is_refused(sqlite_url: str) -> None:
    """Before any of it runs."""

    def unlisted(_: Connection, batch: Sequence[None]) -> Sequence[None]:
        raise AssertionError

    migrate(sqlite_url)
    writer = Writer(engine.write_engine(sqlite_url), {})
    with pytest.raises(LookupError, match=r"unlisted has no place in the lock order"):
        await writer.write(unlisted, None)
    await writer.close()
