"""Reply parser: RFC 5321 §4.2, with every chunking, and invalid replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.outcome.attempt import EnhancedStatus, Reply
from app.smtp.failure import ProtocolError
from app.smtp.protocol import MAX_LINE_BYTES, MAX_REPLY_LINES, ReplyParser

STREAM = b"250-first\r\n250-second\n250 last\r\n354 go\r\n250\r\n550 5.2.252 SendAsDenied; [Hostname=X]\r\n"
REPLIES = [
    Reply(250, None, "first\nsecond\nlast"),
    Reply(354, None, "go"),
    Reply(250, None, ""),
    Reply(550, EnhancedStatus(5, 2, 252), "SendAsDenied; [Hostname=X]"),
]
FAULTS = {
    "letters": b"abc not smtp\r\n",
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\n",
    "two digits": b"25 ok\r\n",
    "four digits": b"2500 ok\r\n",
    "a preliminary code": b"150 wait\r\n",
    "digits of another script": "٢٥٠ ok\r\n".encode(),
    "an empty line": b"\r\n",
    "two codes": b"250-one\r\n251 two\r\n",
    "a long line": b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n",
    "a long line without end": b"250 " + b"x" * MAX_LINE_BYTES,
    "many lines": b"250-x\r\n" * (MAX_REPLY_LINES + 1),
    "a long reply": (b"250-" + b"x" * 8000 + b"\r\n") * 9,
}


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_replies_are_parsed_with_every_chunking(cuts: list[int]) -> None:
    """CRLF and LF, one line and many, with and without text."""
    parser = ReplyParser()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(STREAM)], strict=True):
        parser.feed(STREAM[start:end])
    assert list(parser.replies) == REPLIES
    assert not parser.incomplete


@pytest.mark.parametrize("fault", FAULTS)
def test_an_invalid_reply_is_an_error(fault: str) -> None:
    """Complete replies before it count."""
    parser = ReplyParser()
    with pytest.raises(ProtocolError):
        parser.feed(b"250 ok\r\n" + FAULTS[fault])
    assert list(parser.replies) == [Reply(250, None, "ok")]


def test_an_incomplete_reply_is_known() -> None:
    """Such a connection is not in step."""
    parser = ReplyParser()
    parser.feed(b"250-more to come\r\n")
    assert parser.incomplete
    parser.feed(b"250 done\r\n")
    assert not parser.incomplete


def test_control_characters_are_removed() -> None:
    """The text is stored in databases and shown on terminals."""
    parser = ReplyParser()
    parser.feed(b"550 \x1b[2Jwiped\x00 \xff\x7f\r\n")
    assert parser.replies[0].text == " [2Jwiped  \ufffd "


def test_the_same_line_is_the_same_reply() -> None:
    """Also if it was seen before as the last line of a longer one."""
    parser = ReplyParser()
    parser.feed(b"250 ok\r\n250-more\r\n250 ok\r\n250 ok\r\n")
    assert list(parser.replies) == [Reply(250, None, "ok"), Reply(250, None, "more\nok"), Reply(250, None, "ok")]


def test_the_limit_is_for_one_reply() -> None:
    """A session may have any number of long ones."""
    parser = ReplyParser()
    for number in range(20):
        parser.feed(b"550 %d " % number + b"x" * 8000 + b"\r\n")
    assert len(parser.replies) == 20
