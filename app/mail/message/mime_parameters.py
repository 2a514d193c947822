"""MIME content types and parameters (RFC 2045 §5.1, RFC 2231)."""

import re
from collections.abc import Mapping
from urllib.parse import quote

OCTET_STREAM = "application/octet-stream"

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]"  # noqa: S105 - the RFC's word
_ATTRIBUTE = r"[A-Za-z0-9!#$&+.^_`{|}~-]"  # a token without * ' %, which RFC 2231 reserves
_TYPE = re.compile(rf"[ \t]*({_TOKEN}{{1,127}})/({_TOKEN}{{1,127}})")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*({_ATTRIBUTE}{{1,60}})[ \t]*=[ \t]*(?:({_TOKEN}+)|"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)")'
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_END = re.compile(r"[ \t;]*")
_PLAIN_TOKEN = re.compile("[A-Za-z0-9_-]+")  # other tokens are quoted, because some readers cannot parse them
_PLAIN_QUOTED = re.compile(r"(?!.*=\?)[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?")  # nothing that needs a backslash
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`{|}~"
_COLUMNS = 76


def content_type(text: str) -> tuple[str, Mapping[str, str]]:
    """Parse `type/subtype` and its parameters (first of each name); an invalid type gives application/octet-stream."""
    match = _TYPE.match(text)
    if not match:
        return OCTET_STREAM, {}
    kind = f"{match[1]}/{match[2]}".lower()
    parameters: dict[str, str] = {}
    while following := _PARAMETER.match(text, match.end()):
        match = following
        name, token, quoted = match.groups()
        parameters.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if token is None else token)
    return (kind, parameters) if _END.fullmatch(text, match.end()) else (OCTET_STREAM, {})


def field(name: str, value: str, parameters: Mapping[str, str]) -> str:
    """Return a MIME header field; parameters that do not fit have their own lines."""
    line = f"{name}: {value}"
    for attribute, setting in parameters.items():
        for text in parameter(attribute, setting):
            last = len(line) - line.rfind("\n") - 1
            line += ("; " if last + 2 + len(text) < _COLUMNS else ";\r\n ") + text
    return line + "\r\n"


def parameter(name: str, value: str) -> list[str]:
    """Return the parameter as token or quoted-string, else as percent-encoded UTF-8 in several pieces."""
    if len(name) + len(value) < _COLUMNS - len(' ="";'):
        if _PLAIN_TOKEN.fullmatch(value):
            return [f"{name}={value}"]
        if _PLAIN_QUOTED.fullmatch(value):
            return [f'{name}="{value}"']
    return _extended(name, value)


def _extended(name: str, value: str) -> list[str]:
    """Encode by RFC 2231 §3 and §4, with whole characters in each piece, because some readers decode each alone."""
    pieces = ["utf-8''"]
    room = _COLUMNS - len(name) - len(" *000*=;")
    for character in value:
        encoded = quote(character, safe=_ATTRIBUTE_CHARACTERS)
        if len(pieces[-1]) + len(encoded) > room:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]
