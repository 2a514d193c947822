"""The content as it travels after DATA: dot-stuffed, in pieces, the final dot in the last one (RFC 5321 §4.5.2)."""

from collections.abc import Iterator

CHUNK_BYTES = 64 * 1024  # octets before stuffing: a large message never costs a second copy of itself
_LF = 0x0A


def chunks(content: bytes, size: int = CHUNK_BYTES) -> Iterator[bytes | memoryview]:
    """What to write, in order. `size` is at least 2.

    A dot is doubled after every LF, not only after CRLF: were a bare LF ever to come in, no server could
    take what follows it for the end of the mail. In CRLF lines the two are the same.
    """
    start = 0
    dotted = content.startswith(b".") or b"\n." in content
    view = memoryview(content)
    while start + size < len(content):
        end = start + size
        if content[end - 1] == _LF:
            end -= 1  # keep LF and a dot after it in one piece
        yield _stuffed(content[start:end], first=not start) if dotted else view[start:end]
        start = end
    last = content[start:]
    ended = b".\r\n" if not content or content.endswith(b"\r\n") else b"\r\n.\r\n"
    yield (_stuffed(last, first=not start) if dotted else last) + ended


def _stuffed(piece: bytes, *, first: bool) -> bytes:
    stuffed = piece.replace(b"\n.", b"\n..")
    return b"." + stuffed if first and piece.startswith(b".") else stuffed
