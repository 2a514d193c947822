"""What counts at a take-over: everything that the upstream may have counted, and nothing that it cannot have."""

from app.relay.term import may_have_gone
from app.store.records import Sent


def test_no_more_were_on_their_way_than_there_were_sessions() -> None:
    """The largest of them are counted; what is sure counts always, and each death by itself."""
    sure = [Sent(1.0, 1), Sent(5.0, 500)]
    first = [Sent(5.0, size, sure=False) for size in (1, 7, 2, 9, 3)]
    second = [Sent(9.0, 4, sure=False)]
    counted = may_have_gone([*sure, *first, *second], sessions=3)
    assert counted == [*sure, *(Sent(5.0, size, sure=False) for size in (9, 7, 3)), *second]
