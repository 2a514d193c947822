"""Safe display of foreign text: bounded length, no invisible characters or terminal control sequences.

Such characters are replaced by Python's escapes (`\\x1b`, `\\u202e`), so a reader sees that they were there. Pure.
"""

import json
import re

QUOTE_LIMIT = 200  # characters of a value that an error sentence or a log line quotes
_MARK = "…"
_LAYOUT = "\t\n"
# C0 and C1 controls, DEL, soft hyphen, fillers and joiners without a glyph, bidi controls, line and paragraph
# separators, byte order mark, annotation characters, lone surrogates, tag characters.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)


def cut(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return `text` with at most `limit` characters; the last one is `…` if some are missing."""
    return text if len(text) <= limit else text[: limit - 1] + _MARK


def escape_controls(text: str, *, multiline: bool = False) -> str:
    """Return `text` with a visible escape for each character that controls a terminal or is invisible.

    With `multiline`, TAB and LF stay. Emoji that are joined by U+200D are separated by its escape.
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_escape_outside_layout if multiline else _escape, text)


def escape_in_json(document: str) -> str:
    """Return an equivalent JSON document with such characters escaped, except TAB and LF of its layout."""
    return document if document.isascii() and "\x7f" not in document else _CONTROL.sub(_json_escape, document)


def _json_escape(found: re.Match[str]) -> str:
    return found.group() if found.group() in _LAYOUT else json.dumps(found.group())[1:-1].replace("\x7f", "\\u007f")


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _escape_outside_layout(found: re.Match[str]) -> str:
    return found.group() if found.group() in _LAYOUT else _escape(found)
