"""Message ids never decrease, with any clock."""

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from app.api.http.headers import timestamp
from app.mail.times import moment
from app.store.db.uuid7 import IdGenerator, first_at


def test_a_stopped_clock_gives_ascending_ids() -> None:
    """Also more than the counter holds in one millisecond."""
    ids = IdGenerator()
    made = [ids.new(1_795_000_000.0) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {id_.version for id_ in made} == {7}
    assert {id_.variant for id_ in made} == {"specified in RFC 4122"}


def test_an_id_begins_with_its_time() -> None:
    """RFC 9562 §5.7: 48 bits of milliseconds."""
    assert IdGenerator().new(1_795_000_000.5).int >> 80 == 1_795_000_000_500


@given(st.floats(1.7e9, 2e9))
@example(1_700_000_000.4519994)
def test_the_time_of_an_id_is_the_shown_one(now: float) -> None:
    """So that a list from `created_at` on begins with the email itself."""
    shown = timestamp(now)
    assert shown is not None
    at = moment(shown)
    assert at is not None
    assert first_at(at).int >> 80 == IdGenerator().new(now).int >> 80
    assert first_at(at) <= IdGenerator().new(now)


def test_there_is_a_first_id_for_any_time() -> None:
    """Also for times beyond the range of ids."""
    assert first_at(-1e10) == UUID(int=0)
    assert first_at(1e12).int >> 80 == (1 << 48) - 1
