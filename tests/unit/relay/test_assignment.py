"""What counts at a take-over: everything that the upstream may have counted, and nothing that it cannot have."""

from app.relay.assignment import possibly_sent
from app.store.mailboxes.records import SendRecord


def test_no_more_were_on_their_way_than_there_were_sessions() -> None:
    """The largest of them are counted; what is sure counts always, and each death by itself."""
    sure = [SendRecord(1.0, 1), SendRecord(5.0, 500)]
    first = [SendRecord(5.0, size, confirmed=False) for size in (1, 7, 2, 9, 3)]
    second = [SendRecord(9.0, 4, confirmed=False)]
    counted = possibly_sent([*sure, *first, *second], sessions=3)
    assert counted == [*sure, *(SendRecord(5.0, size, confirmed=False) for size in (9, 7, 3)), *second]
