"""Custom header fields of a caller, as ASCII text with CRLF.

Structured fields (address lists, URL lists, message identifiers, List-Id) keep their structure: only a phrase becomes
encoded words, a URL is percent-encoded, and lines are folded where the syntax of the field has white space.
"""

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

import idna

from app.mail.message.address import Address, AddressError, parse_address
from app.mail.message.headers import HeaderError, check_header, encoded, folded, mailbox, phrase

ADDRESS_FIELDS = frozenset(
    {
        *("disposition-notification-to", "return-receipt-to", "x-confirm-reading-to", "errors-to"),
        *("mail-followup-to", "mail-reply-to", "x-reply-to", "abuse-reports-to", "x-report-abuse-to"),
    }
)
URL_FIELDS = frozenset(
    {
        *("list-unsubscribe", "list-subscribe", "list-help", "list-post", "list-owner", "list-archive"),
        *("archived-at", "x-report-abuse", "x-list-unsubscribe"),
    }
)
ID_FIELDS = frozenset({"references", "in-reply-to"})
LIST_ID = "list-id"
MAX_ADDRESSES = 1_000  # of one field
# Fields that direct replies, receipts or clicks to other people than the sender.
CONTACT_FIELDS = ADDRESS_FIELDS | URL_FIELDS | {"list-unsubscribe-post", "return-receipt-requested"}
_STRUCTURED = ADDRESS_FIELDS | URL_FIELDS | ID_FIELDS | {LIST_ID}

_PRINTABLE = re.compile("[\t -~]*")
_BRACKETS = re.compile("<([^<>]*)>")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?|mailto:[^?@]*@)([^/?#:,]*)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S")
# An unclosed quoted-string extends to the end: a new match at each quotation mark would take quadratic time.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?+'
_COMMA = re.compile(rf"({_QUOTED}|<[^<>]*+>)|,(?=[^ \t])")
_SEPARATOR = re.compile(rf"{_QUOTED}|<[^<>]*+>|(,)")


def custom_field(name: str, value: str) -> str:
    """Return the field with CRLF. Raises HeaderError for a value that cannot be written."""
    check_header(name, value)
    value, kind = value.strip(" \t"), name.lower()
    if kind not in _STRUCTURED:
        return (_PRINTABLE.fullmatch(value) and folded(name, value)) or encoded(name, value)
    if not value.isascii():
        value = _in_ascii(kind, value).strip(" \t")
    if not _PRINTABLE.fullmatch(value):
        raise HeaderError("The value contains a control character; remove it.")
    lines = folded(name, value if len(name) + len(value) <= 76 else _with_blanks(kind, value))
    if lines is None:
        raise HeaderError("The value has more than 998 characters without white space where it could be folded.")
    return lines


def check_custom_field(name: str, value: str) -> None:
    """Raise HeaderError unless `custom_field` can write it."""
    if name.lower() in _STRUCTURED:
        custom_field(name, value)
    else:
        check_header(name, value)


def addresses(value: str) -> tuple[Address, ...]:
    """Parse a comma-separated address list (RFC 5322 §3.4). Raises AddressError."""
    try:
        return (parse_address(value),)
    except AddressError:
        parts = list(islice((part for part in _parts(value) if part), MAX_ADDRESSES + 1))
        if len(parts) < 2:
            raise
        if len(parts) > MAX_ADDRESSES:
            raise AddressError(f"There are more than {MAX_ADDRESSES} addresses; give fewer.") from None
        return tuple(map(parse_address, parts))


def _parts(value: str) -> Iterator[str]:
    start = 0
    for found in _SEPARATOR.finditer(value):
        if found[1]:
            yield value[start : found.start()].strip(" \t")
            start = found.end()
    yield value[start:].strip(" \t")


def _in_ascii(kind: str, value: str) -> str:
    """Return the value of a structured field in ASCII."""
    if kind in ADDRESS_FIELDS:
        return _address_list(value)
    if kind in URL_FIELDS:
        bare = _URL.match(value) and "<" not in value
        return _url(value) if bare else _outside(_BRACKETS.sub(lambda found: f"<{_url(found[1])}>", value))
    if kind == LIST_ID:
        value = _BRACKETS.sub(lambda found: f"<{_host(found[1])}>", value)
    return _outside(value)


def _address_list(value: str) -> str:
    try:
        found = addresses(value)
    except AddressError as error:
        raise HeaderError(f"It must be an address or a list of addresses with commas. {error}") from None
    if not all(address.addr_spec.isascii() for address in found):
        raise HeaderError("An address in it has non-ASCII characters before the @; use an ASCII address.")
    return ", ".join(map(mailbox, found)).replace("\r\n", "")


def _outside(value: str) -> str:
    """Encode the text outside < > as phrases; the text inside must be ASCII."""
    pieces, position = [], 0
    for found in _BRACKETS.finditer(value):
        if not found[0].isascii():
            raise HeaderError("The part within < > must be ASCII; correct it, or leave the field out.")
        pieces += [_words(value[position : found.start()]), found[0]]
        position = found.end()
    return "".join([*pieces, _words(value[position:])])


def _words(text: str) -> str:
    if text.isascii():
        return text
    bare = text.strip(' \t"')
    before, after = text[: text.index(bare)], text[text.index(bare) + len(bare) :]
    blank = "".join(character for character in after if character in " \t")
    return "".join(c for c in before if c in " \t") + phrase(bare).replace("\r\n", "") + blank


def _url(url: str) -> str:
    """Convert an IRI to a URI (RFC 3986): host in A-labels, other non-ASCII characters percent-encoded."""
    if url.isascii():
        return url
    authority = _AUTHORITY.match(url)
    if authority and not authority[2].isascii():
        url = authority[1] + _host(authority[2]) + url[authority.end() :]
    return _NOT_ASCII.sub(lambda found: quote(found[0]), url)


def _host(name: str) -> str:
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise HeaderError("It contains a name that is no internationalized domain name (IDNA 2008).") from None


def _with_blanks(kind: str, value: str) -> str:
    """Add white space where the syntax permits it: after commas of a list, between message identifiers."""
    if kind in ID_FIELDS:
        return value.replace("><", "> <")
    if kind == LIST_ID:
        return value
    return _COMMA.sub(lambda found: found[0] if found[1] else ", ", value)
