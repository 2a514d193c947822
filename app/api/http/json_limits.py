"""Bounds on the number of values in a JSON text, checked on its bytes before an object is made of it.

Python needs up to 40 times the bytes of a text such as `[{},{},…]`. The check is linear in time, needs no memory that
grows with the text, and stops at the first value too many. It does not check the syntax.
"""

import re
from collections.abc import Iterator

from app.api.problems.transport import TooManyValues

CHECKED_FROM = 256 * 1024  # bytes of a text; what fewer bytes can hold needs a few MiB at most
MAX_VALUES = 200_000  # strings (member names, too), objects, lists, and numbers but those from 0 to 255
MAX_BYTES_AS_NUMBERS = 16 * 2**20  # numbers from 0 to 255, of which a file can be sent as a list: 8 bytes each

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)  # to the end of the text if it is not closed
_COSTLY = re.compile(rb"[\[{.eE-]|[3-9][0-9]{2}|2(?:[6-9][0-9]|5[6-9])|[0-9]{4}")  # `e` stands in true and false, too
_PARSED_DEPTH = 200  # levels of nesting, at which the parser stops
_STEP = 64 * 1024  # bytes that are searched at once, so that other threads can run between


def check(raw: bytes | bytearray) -> None:
    """Raise TooManyValues if the text has more values than the bounds."""
    values = numbers = depth = 0
    for start, end in _between_strings(raw):
        values += 1 + len(_COSTLY.findall(raw, start, end))  # the string that follows, and what stands before it
        numbers += raw.count(b",", start, end)
        if values > MAX_VALUES or numbers > MAX_BYTES_AS_NUMBERS:
            raise TooManyValues(MAX_VALUES, MAX_BYTES_AS_NUMBERS)
        depth += raw.count(b"[", start, end) + raw.count(b"{", start, end)
        depth -= raw.count(b"]", start, end) + raw.count(b"}", start, end)
        if depth > _PARSED_DEPTH:  # the parser stops here
            return


def _between_strings(raw: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes before, between and after the strings, in steps."""
    position = 0
    for string in _STRING.finditer(raw):
        yield from _steps(position, string.start())
        position = string.end()
    yield from _steps(position, len(raw))


def _steps(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _STEP:
        yield start, start + _STEP
        start += _STEP
    yield start, end
