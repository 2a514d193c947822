"""Dot-stuffing of message content in chunks; the last chunk ends with the final dot (RFC 5321 §4.5.2)."""

from collections.abc import Iterator

CHUNK_BYTES = 64 * 1024  # before stuffing; a large message is never copied as a whole
_LF = 0x0A


def stuffed_chunks(content: bytes, size: int = CHUNK_BYTES) -> Iterator[bytes | memoryview]:
    """Yield the chunks to write, in order. `size` is at least 2.

    A dot is doubled after every LF, not only after CRLF, so that no server reads a bare LF and a dot as the end of the
    content (SMTP smuggling). For content with CRLF lines only, the result is the same.
    """
    start = 0
    dotted = content.startswith(b".") or b"\n." in content
    view = memoryview(content)
    while start + size < len(content):
        end = start + size
        if content[end - 1] == _LF:
            end -= 1  # keep LF and a following dot in one chunk
        yield _stuffed(content[start:end], first=not start) if dotted else view[start:end]
        start = end
    last = content[start:]
    ending = b".\r\n" if not content or content.endswith(b"\r\n") else b"\r\n.\r\n"
    yield (_stuffed(last, first=not start) if dotted else last) + ending


def _stuffed(chunk: bytes, *, first: bool) -> bytes:
    stuffed = chunk.replace(b"\n.", b"\n..")
    return b"." + stuffed if first and chunk.startswith(b".") else stuffed
