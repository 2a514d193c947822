"""Inline files: matches `cid:` references of the HTML with attachments (RFC 2392) and assigns safe content ids.

A caller's id may be any text, such as a file name with blanks. If some mail program would not match it, it is replaced
by a safe id, also in the references of the HTML. A file without a reference is an ordinary attachment and keeps its id
if that is safe. The HTML is searched, not parsed, because mail programs resolve references in attributes, style sheets
and Outlook's conditional comments. Nothing is rejected.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import unquote

from app.mail.message.html_to_text import unescape
from app.mail.message.message import Attachment

REFERENCE_LIMIT = 10_000  # `cid:` references that are read; no email has as many
_READ_LIMIT = 300_000  # characters that are compared with the ids, over all references of one html
_ID_LIMIT = 4096  # characters of a reference, as it is written in the html, and of an id that is normalized
_PREFIX_LIMIT = 32  # beginnings of a value that are tried as an id
_SAFE = re.compile(r"(?!.*=\?)[A-Za-z0-9!$*+./=@_~-]{1,128}")  # needs no escaping in HTML, CSS and URLs
# After what begins a value: an attribute's = or quotation mark, url( or an entity in CSS, the comma of a srcset.
_REFERENCE = re.compile(r"""([=("',;]\s*+)cid(?::|&\#0*+58;?+|&\#x0*+3a;?+|&colon;)""", re.IGNORECASE)
_END_IN_QUOTES = {'"': re.compile('"'), "'": re.compile("'")}
_END = re.compile(r"""["'<>]""")
_PART_END = re.compile(r"""[\s,;&)\\?\#"'>]""")
_BEFORE_ID = re.compile(r"(?:[\s<]|cid:)*+", re.IGNORECASE)
_AFTER_ID = re.compile(r"[\s>]*+")  # of the reversed text
_BLANKS = re.compile(r"\s+")
_MANY_MARKS = re.compile(r"[^\w\x00-\u02ff]{31}")  # combining marks; Stream-Safe Text (UAX #15 §13) has 30 in a row


class Unused(NamedTuple):
    """File without a reference, so an ordinary attachment. `is_twin`: an earlier file has the same content id."""

    place: int
    is_twin: bool


class Renamed(NamedTuple):
    """File that is sent with another content id than the caller's."""

    place: int
    content_id: str


class Linked(NamedTuple):
    """HTML with rewritten references, the attachments to send, and the changes."""

    html: str | None
    attachments: tuple[Attachment, ...]
    changes: Sequence[Unused | Renamed]


def bare_id(text: str) -> str:
    """Return a content id without surrounding blanks, `<`, `>` and `cid:`."""
    start = _BEFORE_ID.match(text)
    end = _AFTER_ID.match(text[::-1])
    return text[start.end() if start else 0 : len(text) - (end.end() if end else 0)]


def link(html: str | None, attachments: tuple[Attachment, ...]) -> Linked:
    """Match the references of the HTML with the attachments, which have the caller's content ids."""
    if not any(file.content_id for file in attachments):
        return Linked(html, attachments, ())
    files = _Files(attachments)
    html = _rewritten(html, files) if html else html
    changes = [change for place in files.sent_as if (change := files.change(place))]
    linked = (
        replace(file, content_id=files.content_id(place), is_inline=files.is_used(place))
        for place, file in enumerate(attachments)
    )
    return Linked(html, tuple(linked), changes)


class _Files:
    """Attachments by content id, with a record of those that the HTML refers to."""

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.sent_as: dict[int, str] = {}  # by the place, as the next ones
        self._given: dict[int, str] = {}
        self._used: set[int] = set()
        self._exact: dict[str, int] = {}
        self._folded: dict[str, int] = {}
        for place, file in enumerate(attachments):
            if file.content_id:
                self._given[place] = file.content_id
                self._exact.setdefault(file.content_id, place)
                self._folded.setdefault(_folded(file.content_id), place)
                self.sent_as[place] = _sent_as(file.content_id)

    def is_used(self, place: int) -> bool:
        """Return True if a reference leads to this file."""
        return place in self._used

    def content_id(self, place: int) -> str | None:
        """Return the content id to send; a file without a reference has its own safe id or none."""
        given = self._given.get(place)
        if given is None or place in self._used:
            return self.sent_as.get(place)
        return given if given == self.sent_as[place] and place == self._exact[given] else None

    def change(self, place: int) -> Unused | Renamed | None:
        """Return the difference to the caller's values, or None."""
        given = self._given[place]
        if place not in self._used:
            return Unused(place, self._exact[given] != place)
        return Renamed(place, self.sent_as[place]) if given != self.sent_as[place] else None

    def reference(self, source: str) -> str | None:
        """Return the reference (without `cid:`) to write, or None if it matches no attachment."""
        written = source.strip()
        plain = unescape(written)
        decoded = unquote(plain)
        place = next((self._exact[text] for text in (written, plain, decoded) if text in self._exact), None)
        if place is None:
            place = self._folded.get(_folded(plain))
        if place is None:
            return None
        self._used.add(place)
        return source if source == written and decoded == self.sent_as[place] else self.sent_as[place]


def _sent_as(given: str) -> str:
    return given if _SAFE.fullmatch(given) else f"{sha256(given.encode()).hexdigest()[:32]}@postern"


def _folded(text: str) -> str:
    """Return a key that ignores differences invisible to people: letter case, percent-encoding, Unicode forms.

    Combining marks in a row are sorted by the normalization in quadratic time; a text with too many has one form.
    """
    text = bare_id(unquote(text))
    if len(text) <= _ID_LIMIT and not _MANY_MARKS.search(text):
        text = unicodedata.normalize("NFKC", text).casefold()
    return _BLANKS.sub(" ", text)


def _rewritten(html: str, files: _Files) -> str:
    pieces: list[str] = []
    position = copied = read = 0
    for _ in range(REFERENCE_LIMIT):
        found = _REFERENCE.search(html, position)
        if not found or read > _READ_LIMIT:
            break
        position = found.end()
        for end in _ends(html, position, found[1][0]):
            read += end - position
            reference = files.reference(html[position:end])
            if reference is not None:
                pieces += (html[copied:position], reference)
                position = copied = end
                break
    return "".join((*pieces, html[copied:]))


def _ends(html: str, start: int, opening: str) -> list[int]:
    """Return the possible ends of a reference, the farthest first: ids may contain blanks, values several ids."""
    limit = min(len(html), start + _ID_LIMIT)
    closing = _END_IN_QUOTES.get(opening, _END).search(html, start, limit)
    limit = closing.start() if closing else limit
    ends = [limit]
    position = start
    while len(ends) < _PREFIX_LIMIT and (part := _PART_END.search(html, position, limit)):
        ends.append(part.start())
        position = part.end()
    return sorted(ends, reverse=True)
