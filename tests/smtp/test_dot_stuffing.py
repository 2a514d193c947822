"""Dot-stuffing (RFC 5321 §4.5.2): byte-true content with every chunking."""

from hypothesis import given
from hypothesis import strategies as st

from app.smtp.session import stuffed_chunks

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
def test_content_is_byte_true_with_every_chunking(content: bytes, size: int) -> None:
    """The final dot is sent once and last."""
    assert unstuffed(b"".join(stuffed_chunks(content, size))) == content


@given(st.binary(max_size=60).map(lambda noise: noise + b"\n.\r\nMAIL FROM:<x@y>\r\n"), st.integers(2, 9))
def test_a_bare_line_feed_does_not_end_the_data(content: bytes, size: int) -> None:
    """Even for a server that accepts LF for CRLF (SMTP smuggling)."""
    wire = b"".join(stuffed_chunks(content, size))
    assert wire.replace(b"\r\n", b"\n").find(b"\n.\n") == len(wire.replace(b"\r\n", b"\n")) - 3


def test_only_the_last_chunk_has_the_final_dot() -> None:
    *before, last = stuffed_chunks(b"line\r\n" * 50_000)
    assert all(len(piece) <= 64 * 1024 for piece in before)
    assert bytes(last).endswith(b"line\r\n.\r\n")
    assert not any(b"\r\n.\r\n" in bytes(piece) for piece in before)


def test_an_unterminated_last_line_gets_a_crlf() -> None:
    """Else its dot would be content."""
    assert b"".join(stuffed_chunks(b"no end")) == b"no end\r\n.\r\n"
    assert b"".join(stuffed_chunks(b"")) == b".\r\n"
