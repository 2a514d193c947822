"""Another Date: nothing else changes, whatever the message holds."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import Address
from app.mail.message.compose import compose, redate
from app.mail.message.message import Submission

ID = UUID(int=7)
MOMENTS = st.floats(0, 4e9)


@given(
    MOMENTS,
    MOMENTS,
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=100),
    st.sampled_from(["Hi", "\r\nDate: x\r\n", "\r\n\r\nDate: x"]),
    st.sampled_from([(), (("X-Date", "Date: x"), ("X-Long", "Date: " * 30))]),
)
def test_it_is_as_if_composed_then(
    first: float, then: float, subject: str, text: str, more: tuple[tuple[str, str], ...]
) -> None:
    """To the octet."""
    email = Submission(Address("a", "b.co"), (Address("c", "d.co"),), subject, text=text, headers=more)
    before, after = (compose(email, id=ID, now=datetime.fromtimestamp(at, UTC)).content for at in (first, then))
    assert redate(before, then) == after
    assert len(before) == len(after)


def test_without_a_date() -> None:
    """It stays as it is."""
    for content in (b"", b"Subject: x\r\n\r\n\r\nDate: x\r\n", b"no head"):
        assert redate(content, 0.0) == content
