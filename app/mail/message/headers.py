"""Header fields as text with CRLF: validation, folding, encoding (RFC 5322 §2.2, RFC 2047).

Every value passes `check_header` or has no characters that end a line, so a caller cannot inject a header. Structured
fields of a caller (address lists, URL lists, message identifiers, List-Id) keep their structure: only a phrase becomes
encoded words, a URL is percent-encoded, and lines are folded where the syntax of the field has white space.
"""

import re
from collections.abc import Iterator, Sequence
from email.charset import Charset
from itertools import islice
from urllib.parse import quote

import idna

from app.mail.message.address import ATEXT, DOT_ATOM, Address, AddressError, parse_address, quoted_string

FOLD = 78  # characters a line should not exceed, RFC 5322 §2.1.1
LIMIT = 998  # characters a line must not exceed
MAX_NAME = 76  # characters of a field name, which leaves room for a value on its line
INVALID_NAME = f"The header's name must be 1 to {MAX_NAME} printable ASCII characters without space and colon."

RESERVED = frozenset(
    {
        *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id"),
        *("return-path", "received", "dkim-signature", "mime-version"),
    }
)
_RESERVED_PREFIXES = ("content-", "x-postern-")
# Fields that a caller must not set, with the reason that the caller reads.
_RESENDING = (
    "It belongs to a message that a person resends (RFC 5322 §3.6.6) and may name other senders and recipients."
)
_RECEIVED = "Only the server that receives or signs a message may write it."
_EXCHANGE = "Exchange uses it for its own decisions about spam, routing and trust."
_WITHHELD = {
    "resent-": _RESENDING,
    "authentication-results": _RECEIVED,
    "arc-": _RECEIVED,
    "dkim-signature": _RECEIVED,
    "domainkey-signature": _RECEIVED,
    "received-spf": _RECEIVED,
    "x-ms-exchange-": _EXCHANGE,
    "x-microsoft-antispam": _EXCHANGE,
    "x-forefront-": _EXCHANGE,
    "x-exchange-": _EXCHANGE,
    "x-originatororg": _EXCHANGE,
}

_NAME = re.compile(f"[!-9;-~]{{1,{MAX_NAME}}}")  # ftext, RFC 5322 §3.6.8
_BREAKING = re.compile("[\r\n\0]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXACT = re.compile("(?:[!-~](?:[ -~]*[!-~])?)?")  # printable, and no blank at an end where it would be lost
_BLANKS = re.compile("([ \t]+)")
_FOLDED_LINE = re.compile("\r\n(?=[ \t])")
_ATOMS = re.compile(rf"[{ATEXT}]+(?: [{ATEXT}]+)*")
_MESSAGE_ID = re.compile(rf"(?=[^@]{{1,255}}@.{{1,255}}\Z){DOT_ATOM}@(?:{DOT_ATOM}|\[[!-Z^-~]*\])")
_CONTENT_ID = re.compile("[!-;=?-~]{1,128}")

_UTF8 = Charset("utf-8")
_OVERHEAD = len("=?utf-8?b??=")
_WORD = 75 - _OVERHEAD  # characters of encoded text in one encoded word, RFC 2047 §2
_MAX_UNFOLDED_NAME = 60  # characters of a display name that is written on one line
_ADDRESS_FIELD = len("Reply-To: ")  # the longest start of a line with addresses

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


class HeaderError(ValueError):
    """Invalid header value. Its text is a sentence: what is wrong and how to fix it."""


def is_reserved(name: str) -> bool:
    """Return True for a header that other fields of the message set, or that is reserved: it is never copied."""
    lower = name.lower()
    return lower in RESERVED or lower.startswith(_RESERVED_PREFIXES) or reason_withheld(name) is not None


def reason_withheld(name: str) -> str | None:
    """Return the reason why a caller's field of this name is never sent, or None."""
    lower = name.lower()
    return next((reason for prefix, reason in _WITHHELD.items() if lower.startswith(prefix)), None)


def unfold(value: str) -> str:
    """Return `value` on one line: CRLF before a blank or TAB is folding (RFC 5322 §2.2.3). Other line breaks stay."""
    return _FOLDED_LINE.sub("", value) if "\r" in value else value


def check_header(name: str, value: str) -> None:
    """Raise HeaderError unless `name` can name a header field and `value` can be carried in it."""
    if not _NAME.fullmatch(name):
        raise HeaderError(INVALID_NAME)
    check_value(value)


def check_value(value: str) -> None:
    """Raise HeaderError if `value` contains CR, LF, NUL or a lone surrogate."""
    if _BREAKING.search(value):
        raise HeaderError("The value contains a line break or NUL; put it on one line.")
    if not value.isascii() and _SURROGATE.search(value):
        raise HeaderError(
            "The value contains half of a surrogate pair, which is no character; send well-formed Unicode."
        )


def check_message_id(value: str) -> None:
    """Raise HeaderError unless `value`, without <>, is a Message-ID (RFC 5322 §3.6.4, no obsolete form)."""
    if not _MESSAGE_ID.fullmatch(value) or "=?" in value:  # readers might decode it, RFC 2047
        raise HeaderError(
            "The Message-ID must look like unique@example.com: words of ASCII with dots between them, and no =?."
        )


def check_content_id(value: str) -> None:
    """Raise HeaderError unless `value`, without <>, can be a Content-ID (RFC 2392; the usual missing @ is allowed)."""
    if not _CONTENT_ID.fullmatch(value) or "=?" in value:
        raise HeaderError("The content id must be 1 to 128 printable ASCII characters without spaces, <, > and =?.")


def unstructured(name: str, text: str) -> str:
    """Return an unstructured field (RFC 5322 §3.6.5) that readers decode to exactly `text`."""
    if _EXACT.fullmatch(text) and "=?" not in text:
        return folded(name, text) or encoded(name, text)
    check_header(name, text)
    return encoded(name, text)


def address_list(name: str, addresses: Sequence[Address]) -> str:
    """Return From, To, Cc or Reply-To (RFC 5322 §3.6.2). Non-ASCII local parts are written raw (RFC 6532)."""
    lines = f"{name}:"
    column = len(lines)
    for number, address in enumerate(addresses):
        item = mailbox(address)
        lines += "," if number else ""
        fits = column + len(item) + 3 <= FOLD and "\r" not in item
        lines += (" " if fits or not number else "\r\n ") + item
        column = len(lines) - lines.rfind("\n") - 1
    return lines + "\r\n"


def mailbox(address: Address) -> str:
    """Return name-addr or addr-spec (RFC 5322 §3.4)."""
    name, spec = address.display_name, address.addr_spec
    check_value(spec)
    if not name:
        return spec
    words = phrase(name)
    last = len(words) - words.rfind("\n") - 1
    blank = " " if _ADDRESS_FIELD + last + len(spec) + len(" <>,") <= FOLD else "\r\n "
    return f"{words}{blank}<{spec}>"


def phrase(name: str) -> str:
    """Return a display name (RFC 5322 §3.2.5) as atoms, a quoted-string or encoded words."""
    if len(name) <= _MAX_UNFOLDED_NAME and "=?" not in name:
        if _ATOMS.fullmatch(name):
            return name
        if _EXACT.fullmatch(name):
            return quoted_string(name)
    check_value(name)
    return "\r\n ".join(encoded_words(name, _WORD - _ADDRESS_FIELD))


def folded(name: str, value: str) -> str | None:
    """Return the field folded at white space to FOLD characters; None if a line exceeds LIMIT."""
    if len(name) + len(value) + 2 <= FOLD:
        return f"{name}: {value}\r\n"
    words = _BLANKS.split(value)
    # A first word that does not fit beside the name has its own line.
    lines, line = [], f"{name}: {words[0]}"
    if len(line) > LIMIT:
        lines, line = [f"{name}:"], f" {words[0]}"
    for blank, word in zip(words[1::2], words[2::2], strict=True):
        if len(line) + len(blank) + len(word) > FOLD:
            lines.append(line)
            line = ""
        line += blank + word
    lines.append(line)
    return "\r\n".join([*lines, ""]) if max(map(len, lines)) <= LIMIT else None


def encoded(name: str, text: str) -> str:
    """Return the field with `text` as encoded words, on lines of at most 76 characters."""
    words = encoded_words(text, max(_WORD - len(name) - 2, 16))
    return f"{name}: " + "\r\n ".join(words) + "\r\n"


def encoded_words(text: str, first: int) -> list[str]:
    """Return `text` as RFC 2047 encoded words of whole characters; `first` is the space in the first word."""
    return [_UTF8.header_encode(chunk) for chunk in _chunks(text.encode(), first // 4 * 3, _WORD // 4 * 3)]


def _chunks(data: bytes, first: int, size: int) -> Iterator[str]:
    """Yield UTF-8 text in pieces of at most `first`, then `size` bytes, cut between characters.

    Base64 of a piece always fits; Q is chosen only if it is shorter.
    """
    start, end = 0, first
    while start < len(data):
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end].decode()
        start, end = end, end + size


def custom_field(name: str, value: str) -> str:
    """Return a field of the caller with CRLF. Raises HeaderError for a value that cannot be written."""
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
