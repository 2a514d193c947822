"""Values of log lines: cuts them, masks addresses, shows tracebacks; and the text of a line for people.

Values can quote callers and servers, so they are cut before a pattern is matched in them.
"""

import re
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

from app.mail.safe_text import cut, escape_controls

MAX_VALUE = 500  # characters of one value, and of one line of a traceback
MAX_FIX = 2000  # characters of a fix, which is Postern's own text
_MAX_TRACEBACK_LINES = 200  # of a traceback
_TRACEBACK_HEAD_LINES = 20  # first lines that are shown of a longer traceback, followed by its last lines

# One pass from left to right: the end of an address, or the earliest possible start of its local part.
_ADDRESS_MARK = re.compile(r'@([\w.-]*\w)|[\s"<>@,;:()\[\]]')
_MAX_QUOTED_LOCAL = 320  # characters of a quoted local part; a quotation mark further back belongs to something else


def limit_values(facts: dict[str, Any], *, human: bool, shown: frozenset[str] | None) -> None:
    """Cut each text and make it safe to show. With `shown` every other address is masked."""
    for name, value in facts.items():
        if isinstance(value, str):
            facts[name] = _value(name, value, human, shown)


def for_people(level: str, facts: dict[str, Any]) -> str:
    """Return the text of a line for people."""
    return str(_console_renderer()(None, level, facts))


@cache
def _console_renderer() -> Callable[..., Any]:
    import structlog  # noqa: PLC0415 - it imports rich and Pygments, which a log in JSON does not need

    return structlog.dev.ConsoleRenderer()


def mask_addresses(text: str, shown: frozenset[str]) -> str:
    """Return the text with `***` for the local part of each address that is not in `shown`. Linear in its length."""
    spans: list[tuple[int, int]] = []  # of the local parts
    earliest = 0
    for found in _ADDRESS_MARK.finditer(text):
        if found[1] is None:
            earliest = found.end()
            continue
        at = found.start()
        start = _quoted_start(text, at) if text[at - 1 : at] == '"' else earliest
        while spans and start <= spans[-1][0]:  # an @ inside of the quotation marks
            spans.pop()
        if start < at and text[start : found.end()].lower() not in shown:
            spans.append((start, at))
        earliest = found.end()
    pieces, kept = [], 0
    for start, end in spans:
        pieces += [text[kept:start], "***"]
        kept = end
    return "".join([*pieces, text[kept:]])


def _quoted_start(text: str, at: int) -> int:
    """Return the index of the opening quotation mark of the string before `at` (RFC 5321 §4.1.2 Quoted-string)."""
    earliest = max(0, at - _MAX_QUOTED_LOCAL)
    opening = at - 1
    while (opening := text.rfind('"', earliest, opening)) >= 0:
        escapes = opening
        while escapes > earliest and text[escapes - 1] == "\\":
            escapes -= 1
        if (opening - escapes) % 2 == 0:
            return opening
    return earliest


def _value(name: str, text: str, human: bool, shown: frozenset[str] | None) -> str:
    is_traceback = name == "exception"
    if not is_traceback:
        text = cut(text, MAX_FIX if name == "fix" else MAX_VALUE)
    if shown is not None and "@" in text:
        text = mask_addresses(text, shown)
    return escape_controls(text, multiline=is_traceback) if human else text


def format_traceback(error: BaseException) -> str:
    """Return lines of code and the exception's text, but no values of variables, which can hold keys and mail."""
    lines = "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    if len(lines) > _MAX_TRACEBACK_LINES:
        lines = [*lines[:_TRACEBACK_HEAD_LINES], "…", *lines[_TRACEBACK_HEAD_LINES - _MAX_TRACEBACK_LINES :]]
    return "\n".join(cut(line, MAX_VALUE) for line in lines)
