"""Usage at a takeover: everything that the upstream may have counted, and no more."""

from app.relay.assignment import possibly_sent
from app.store.mailboxes.records import SendRecord


def test_active_messages_are_bounded_by_sessions() -> None:
    """The largest count; settled ones always count, and each crash separately."""
    sure = [SendRecord(1.0, 1), SendRecord(5.0, 500)]
    first = [SendRecord(5.0, size, confirmed=False) for size in (1, 7, 2, 9, 3)]
    second = [SendRecord(9.0, 4, confirmed=False)]
    counted = possibly_sent([*sure, *first, *second], sessions=3)
    assert counted == [*sure, *(SendRecord(5.0, size, confirmed=False) for size in (9, 7, 3)), *second]
