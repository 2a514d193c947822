"""Dot-stuffing (RFC 5321 §4.5.2): what arrives is what was meant, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from app.smtp.dot_stuffing import stuffed_chunks

LINES = st.lists(st.text("a.\r\u00e9", max_size=6).map(lambda text: text.replace("\r", "").encode()), max_size=12)
CONTENTS = LINES.map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def unstuffed(wire: bytes) -> bytes:
    """Remove the dot-stuffing, as a server does."""
    content = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end, "no final dot"
        if line == b".":
            assert wire == b"", "something after the final dot"
            return content
        content += line.removeprefix(b".") + end


@given(CONTENTS, st.integers(2, 9))
def test_arrives_byte_true(content: bytes, size: int) -> None:
    """Every cut of every content, the final dot once and last."""
    assert unstuffed(b"".join(stuffed_chunks(content, size))) == content


@given(st.binary(max_size=60).map(lambda noise: noise + b"\n.\r\nMAIL FROM:<x@y>\r\n"), st.integers(2, 9))
def test_a_bare_line_feed_ends_no_mail(content: bytes, size: int) -> None:
    """Even to a server that takes LF for CRLF there is one end of data, at the end (smuggling)."""
    wire = b"".join(stuffed_chunks(content, size))
    assert wire.replace(b"\r\n", b"\n").find(b"\n.\n") == len(wire.replace(b"\r\n", b"\n")) - 3


def test_the_last_piece_alone_has_the_dot() -> None:
    """The chunks before the last one never contain a complete message."""
    *before, last = stuffed_chunks(b"line\r\n" * 50_000)
    assert all(len(piece) <= 64 * 1024 for piece in before)
    assert bytes(last).endswith(b"line\r\n.\r\n")
    assert not any(b"\r\n.\r\n" in bytes(piece) for piece in before)


def test_an_unended_last_line_is_ended() -> None:
    """Else its dot would be content."""
    assert b"".join(stuffed_chunks(b"no end")) == b"no end\r\n.\r\n"
    assert b"".join(stuffed_chunks(b"")) == b".\r\n"
