"""Conversion of HTML and of its character references to plain text, for emails without a text part.

One possessive regular expression splits the tokens, so the time is linear in the input. The standard library's
parser is not used: in Python 3.11 unclosed tags cost it quadratic time.
Text, tags and attributes are bounded, so the memory is too: real emails stay far below the bounds.
"""

import html
import re

_TOKEN = re.compile(
    r"""
    <!--(?:[^-]++|-(?!->))*+(?:-->|\Z)                            # a comment, to its end or the text's
  | <(?P<end>/?+)(?P<name>[A-Za-z][^\s/>]*+)                      # a tag
     (?P<attributes>(?:[^>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?+)*+)(?:>|\Z)
  | <[!?/][^>]*+(?:>|\Z)                                          # a doctype, a processing instruction, a bogus comment
    """,
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s=/]++)(?:\s*+=\s*+("[^"]*+"?+|'[^']*+'?+|[^\s]++))?+""")
_HIDDEN = {name: re.compile(rf"</{name}(?=[\s/>])[^>]*+(?:>|\Z)", re.I) for name in ("script", "style", "title")}
_INVISIBLE = "\u00ad\u034f\u061c\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # padding of preheaders
_ANY_INVISIBLE = re.compile(f"[{_INVISIBLE}]")

TEXT_LIMIT = 1 << 20  # characters; the rest of the HTML is ignored
TAG_LIMIT = 1_000_000  # the rest of the HTML is ignored
CUT = "[...]"  # the last line of a text that was cut
_VALUE_LIMIT = 8192  # characters of an attribute's value; a longer one counts as absent

# More digits than any character needs. Python refuses to convert thousands of them, leading zeros included.
_LONG_REFERENCE = re.compile(r"&#(?=[0-9]{20})0*+([0-9]*+)(;?+)")
_NO_CHARACTER = str(0x110000)

_PARAGRAPHS = frozenset({"address", "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "p", "table"})
_MAX_INDENT = 8  # indented list levels; without a limit nested lists could inflate the text
_LINES = frozenset(
    {
        *("article", "aside", "body", "center", "div", "footer", "form", "header", "main", "nav", "section"),
        *("caption", "dd", "dt", "fieldset", "figcaption", "tr"),
    }
)


def text_from_html(source: str) -> str:
    """Return paragraphs, lists, table rows and links as plain text with LF, or ""."""
    page = _Page()
    position = 0
    for _ in range(TAG_LIMIT):
        token = _TOKEN.search(source, position)
        page.data(source, position, token.start() if token else len(source))
        if token is None or page.is_full:
            return page.text()
        position = token.end()
        name = (token["name"] or "").lower()
        if token["end"]:
            page.end(name)
        elif name in _HIDDEN:
            closing = _HIDDEN[name].search(source, position)
            position = closing.end() if closing else len(source)
        elif name:
            page.start(name, token["attributes"])
    page.is_full = True
    return page.text()


def unescape(source: str) -> str:
    """Return `source` with its character references replaced (HTML, §13.2.5.72), with any number of digits."""
    if "&#" in source and _LONG_REFERENCE.search(source):
        source = _LONG_REFERENCE.sub(_shortened, source)
    return html.unescape(source)


def _shortened(reference: re.Match[str]) -> str:
    digits, end = reference.groups()
    return f"&#{digits if len(digits) <= len(_NO_CHARACTER) else _NO_CHARACTER}{end}" if digits else f"&#0{end}"


class _Page:
    """Output text: finished lines and the pieces of the current line."""

    def __init__(self) -> None:
        self.is_full = False  # no more text is accepted; the result ends with CUT
        self._room = TEXT_LIMIT  # characters
        self._lines: list[str] = []
        self._line: list[str] = []
        self._blank = False  # a blank line is due before the next one
        self._space = ""  # the blanks due before the next word
        self._mark = ""  # a list item's bullet or number, due before its first word
        self._lists: list[int] = []  # of each open list: the number of its next item, or 0 if it has bullets
        self._link: list[str] = []  # the words of the open link
        self._target = ""
        self._verbatim = 0

    def data(self, source: str, start: int, end: int) -> None:
        """Add the text between tags."""
        text = source[start : min(end, start + TEXT_LIMIT)]
        if "&" in text:
            text = unescape(text)
        if self._verbatim:
            self._preformatted(text)
        elif text:
            self._flowing(text)
        self.is_full = self._room < 0 or end - start > TEXT_LIMIT

    def start(self, name: str, source: str) -> None:
        """Process a start tag; `source` has its unparsed attributes."""
        match name:
            case "br":
                self._break()
            case "a":
                self._close_link()
                self._target = _target(_attribute(source, "href"))
            case "img":
                self._write(" ".join(_attribute(source, "alt").split()))
            case "li":
                self._item()
            case "ul" | "ol":
                self._paragraph() if not self._lists else self._flush()
                self._lists.append(1 if name == "ol" else 0)
            case "td" | "th":
                self._cell()
            case "hr":
                self._rule()
            case "pre":
                self._paragraph()
                self._verbatim += 1
            case _:
                self._block(name)

    def end(self, name: str) -> None:
        """Process an end tag."""
        match name:
            case "a":
                self._close_link()
            case "ul" | "ol":
                self._mark = ""
                del self._lists[-1:]
                self._paragraph() if not self._lists else self._flush()
            case "pre":
                self._paragraph()
                self._verbatim = max(0, self._verbatim - 1)
            case "li":
                self._flush()
                self._mark = ""
            case _:
                self._block(name)

    def text(self) -> str:
        """Return the text, cut at TEXT_LIMIT."""
        self._close_link()
        self._flush()
        text = "\n".join(self._lines).strip("\n")
        return f"{text[:TEXT_LIMIT]}\n\n{CUT}".lstrip("\n") if self.is_full else text

    def _flowing(self, text: str) -> None:
        words = text.split()
        if not text.isascii() and _ANY_INVISIBLE.search(text):
            words = [word for word in words if word.strip(_INVISIBLE)]
        if not words or text[0].isspace():
            self._space = self._space or " "
        if words:
            self._write(" ".join(words))
            self._space = " " if text[-1].isspace() else ""

    def _write(self, words: str) -> None:
        if not words:
            return
        if self._target:
            self._link.append(words)
        if self._line and self._space:
            self._append(self._space)
        elif self._mark:
            self._append(self._mark)
            self._mark = " " * len(self._mark)
        self._append(words)
        self._space = ""

    def _append(self, piece: str) -> None:
        self._line.append(piece)
        self._room -= len(piece)

    def _flush(self) -> None:
        """End the current line, if there is one."""
        if self._line:
            if self._blank and self._lines and self._lines[-1]:
                self._lines.append("")
            self._lines.append("".join(self._line).rstrip())
            self._room -= 1
            self._line.clear()
            self._blank = False
        self._space = ""

    def _paragraph(self) -> None:
        self._flush()
        self._blank = True

    def _break(self) -> None:
        if not self._line:
            self._blank = True
        self._flush()

    def _block(self, name: str) -> None:
        if name in _PARAGRAPHS:
            self._paragraph()
        elif name in _LINES:
            self._flush()

    def _item(self) -> None:
        self._flush()
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        mark = f"{number}. " if number else "- "
        self._mark = "  " * min(len(self._lists) - 1, _MAX_INDENT) + mark

    def _cell(self) -> None:
        self._space = "  "

    def _rule(self) -> None:
        self._paragraph()
        self._write("---")
        self._paragraph()

    def _preformatted(self, text: str) -> None:
        first, *others = text.expandtabs().splitlines() or [""]
        self._append(first)
        for line in others:
            self._flush_verbatim()
            self._append(line)
        if text.endswith("\n"):
            self._flush_verbatim()

    def _flush_verbatim(self) -> None:
        self._line = self._line or [""]
        self._flush()

    def _close_link(self) -> None:
        """Write the target of the open link after its text, unless the text is the target."""
        target, words = self._target, " ".join(self._link)
        self._target = ""
        self._link.clear()
        if not target or _bare(target) == _bare(words):
            return
        if words and not self._line and self._lines:
            self._room -= len(target)
            self._lines[-1] += f" ({target})"  # the words stood in a block of their own inside the link
            return
        space, self._space = self._space, " " if words else self._space
        self._write(f"({target})" if words else target)
        self._space = space


def _attribute(source: str, name: str) -> str:
    """Return the value of the first attribute of this name, or ""."""
    for found in _ATTRIBUTE.finditer(source):
        if len(found[1]) == len(name) and found[1].lower() == name:
            value = found[2] or ""
            return unescape(value.strip("\"'")) if len(value) <= _VALUE_LIMIT else ""
    return ""


def _target(href: str) -> str:
    """Return the usable part of a link: a web, mail or telephone address, or ""."""
    href = "".join(href.split())
    scheme, colon, rest = href.partition(":")
    match scheme.lower():
        case "http" | "https" | "ftp":
            return href
        case "mailto" | "tel" | "sms" if colon:
            return rest.partition("?")[0]
    return ""


def _bare(text: str) -> str:
    return text.lower().removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")
