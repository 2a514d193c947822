"""Rendering of log lines: cuts values, masks addresses and writes JSON, or text for people.

Values can quote callers and servers, so they are cut before a pattern is matched in them.
"""

import json
import re
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from app.mail.safe_text import cut, escape_controls

MAX_VALUE = 500  # characters of one value, and of one line of a traceback
MAX_FIX = 2000  # characters of a fix, which is Postern's own text
_MAX_TRACEBACK_LINES = 200  # of a traceback
_TRACEBACK_HEAD_LINES = 20  # first lines that are shown of a longer traceback, followed by its last lines

# One pass from left to right: the end of an address, or the earliest possible start of its local part.
_ADDRESS_MARK = re.compile(r'@([\w.-]*\w)|[\s"<>@,;:()\[\]]')
_MAX_QUOTED_LOCAL = 320  # characters of a quoted local part; a quotation mark further back belongs to something else


def render(level: str, facts: dict[str, Any], *, human: bool, shown: frozenset[str] | None) -> str:
    """Return one line, or several with a traceback for people. With `shown` every other address is masked."""
    if (error := facts.pop("exc_info", None)) is not None:
        facts["exception"] = _traceback(error)
    if not human and shown is None and len(line := _json(facts)) <= MAX_VALUE:
        return line  # the usual case: no value of such a line is cut
    for name, value in facts.items():
        if isinstance(value, str):
            facts[name] = _value(name, value, human, shown)
    return str(_console_renderer()(None, level, facts)) if human else _json(facts)


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


def _traceback(error: BaseException) -> str:
    """Return lines of code and the exception's text, but no values of variables, which can hold keys and mail."""
    lines = "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    if len(lines) > _MAX_TRACEBACK_LINES:
        lines = [*lines[:_TRACEBACK_HEAD_LINES], "…", *lines[_TRACEBACK_HEAD_LINES - _MAX_TRACEBACK_LINES :]]
    return "\n".join(cut(line, MAX_VALUE) for line in lines)


def _json(facts: dict[str, Any]) -> str:
    """Return ASCII JSON. Text that is not valid Unicode, such as a file name, is escaped by the slower encoder."""
    try:
        line = to_json(facts, fallback=repr, ensure_ascii=True).decode()
    except PydanticSerializationError:
        line = json.dumps(facts, default=repr)
    return line.replace("\x7f", "\\u007f") if "\x7f" in line else line
