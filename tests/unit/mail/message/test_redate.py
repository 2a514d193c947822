"""Change of the Date field without any other change."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import Address
from app.mail.message.message import Submission, compose, redate

ID = UUID(int=7)
MOMENTS = st.floats(0, 4e9)


@given(
    MOMENTS,
    MOMENTS,
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=100),
    st.sampled_from(["Hi", "\r\nDate: x\r\n", "\r\n\r\nDate: x"]),
    st.sampled_from([(), (("X-Date", "Date: x"), ("X-Long", "Date: " * 30))]),
)
def test_a_redated_message_equals_one_composed_at_that_time(
    first: float, then: float, subject: str, text: str, more: tuple[tuple[str, str], ...]
) -> None:
    email = Submission(Address("a", "b.co"), (Address("c", "d.co"),), subject, text=text, headers=more)
    before, after = (compose(email, id=ID, now=datetime.fromtimestamp(at, UTC)).content for at in (first, then))
    assert redate(before, then) == after
    assert len(before) == len(after)


def test_a_message_without_a_date_is_unchanged() -> None:
    for content in (b"", b"Subject: x\r\n\r\n\r\nDate: x\r\n", b"no head"):
        assert redate(content, 0.0) == content
