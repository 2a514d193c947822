"""RFC 5321 §4.2 and RFC 3463: a reply with its exact enhanced status."""

import pytest

from app.mail.outcome.attempt import EnhancedStatus, Reply


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("5.7.1 no", EnhancedStatus(5, 7, 1)),
        ("5.7.139 Authentication unsuccessful", EnhancedStatus(5, 7, 139)),
        ("2.0.0", EnhancedStatus(2, 0, 0)),
        ("4.3.2\tConcurrent", EnhancedStatus(4, 3, 2)),
        ("5.7.1394 x", None),
        ("5.7 x", None),
        ("5.7.1.2 x", None),
        ("3.1.1 x", None),
        ("6.1.1 x", None),
        ("x 5.7.1", None),
        ("", None),
    ],
)
def test_an_enhanced_status_is_parsed_whole_or_not_at_all(text: str, status: EnhancedStatus | None) -> None:
    """5.7.1 is not a prefix of 5.7.139."""
    assert EnhancedStatus.parse(text) == status


def test_the_status_is_removed_from_every_line() -> None:
    """Servers repeat it on each line of a multi-line reply."""
    reply = Reply.of(550, ["5.7.1 first", "5.7.1 second", "third"])
    assert (reply.code, str(reply.status), reply.text) == (550, "5.7.1", "first\nsecond\nthird")
    assert str(reply) == "550 5.7.1 first second third"


def test_a_status_of_another_class_than_the_code_is_text() -> None:
    """RFC 2034 §4."""
    reply = Reply.of(550, ["4.7.1 odd"])
    assert reply.status is None
    assert reply.text == "4.7.1 odd"


def test_the_class_of_a_reply_is_its_first_digit() -> None:
    assert Reply.of(250, ["ok"]).positive
    assert Reply.of(432, ["4.3.2 busy"]).transient
    assert not Reply.of(554, []).positive
    assert not Reply.of(554, []).transient
