"""Reading of secrets as text from environment, files and postern.toml, and removal of passwords from URLs. Pure.

Additions of editors and `echo` are removed: a byte order mark at the start, line ends at the end. Text that cannot be a
secret is refused. No error contains the value.
"""

import codecs
import re
import unicodedata

_BYTE_ORDER_MARK = "\ufeff"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_ENDS = "\r\n"
_LINE_BREAKS = frozenset("\r\n\v\f\x85\u2028\u2029")
_USERINFO = re.compile(r"//[^/\s]{0,500}@")
_QUOTES = frozenset(('""', "''", "“”", "‘’", "``"))


class SecretTextError(ValueError):
    """A fault and its fix. A caller puts the name of the setting or file in front."""

    def __init__(self, fault: str, fix: str) -> None:
        super().__init__(f"{fault}. {fix}.")
        self.fault = fault
        self.fix = fix


def decode(content: bytes) -> str:
    """Return the text of a file, stripped. Raises SecretTextError."""
    if content.startswith(_UTF_16):
        raise SecretTextError("is UTF-16 text", "Save it as UTF-8")
    if b"\0" in content:
        raise SecretTextError("has NUL bytes, as UTF-16 text and binary files have", "Save it as UTF-8 text")
    try:
        return strip(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise SecretTextError("is not UTF-8 text", "Save it as UTF-8") from None


def strip(text: str) -> str:
    """Remove a byte order mark at the start and line ends at the end. Returns "" if only blanks are left."""
    plain = text.removeprefix(_BYTE_ORDER_MARK).rstrip(_LINE_ENDS)
    return plain if plain.strip() else ""


def validate(text: str) -> str:
    """Return a stripped text if it can be a secret. Raises SecretTextError."""
    for character in text:
        if fault := _fault(character):
            raise SecretTextError(*fault)
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        raise SecretTextError("stands between quotation marks", "Give it without them")
    return text


def _fault(character: str) -> tuple[str, str] | None:
    if character in _LINE_BREAKS:
        return "has a line break inside", "Give it on one line"
    if character.isascii() and character.isprintable():
        return None
    match unicodedata.category(character):
        case "Cc" | "Cf":
            return f"has the invisible character U+{ord(character):04X}", "Take it out"
        case "Cs":
            return "is not UTF-8 text", "Give it as UTF-8"
        case _:
            return None


def without_userinfo(text: str) -> str:
    """Remove the user and the password from the URLs in a text."""
    return _USERINFO.sub("//", text)
