"""Email addresses: parser and plain rendering. Encoding for headers is in `headers`.

An address is one addr-spec (RFC 5322 §3.4.1, RFC 6532 local parts) at a host name, optionally with a display name.
Display names may contain commas and dots without quotation marks.

Invisible and direction-changing characters are removed from display names, because they let one name be shown as
another (Unicode UTS #39 §3.1, UTR #36 §2). Joiners stay where a script or an emoji needs them. RFC 2047 encoded words
are decoded if their charset is in a fixed list: other codecs of Python take quadratic time (punycode, idna), are not
charsets (base64, zlib) or hide characters (utf-7).
"""

import binascii
import re
from collections.abc import Mapping
from itertools import groupby
from typing import NoReturn
from unicodedata import combining

import idna

from app.frozen import frozen

# Possessive quantifiers (++, *+) make the time linear in the input.
_LABEL = "(?!-)[A-Za-z0-9-]{1,63}+(?<!-)"
_DOMAIN = rf"(?:{_LABEL}\.)++(?=[A-Za-z]){_LABEL}"  # a letter first in the last, so that no IPv4 address is a host name
ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
DOT_ATOM = rf"[{ATEXT}]++(?:\.[{ATEXT}]++)*+"

# The common case in one match: a bare ASCII address, or one behind a name of plain words.
_COMMON = re.compile(rf"(?:([A-Za-z0-9]++(?: [A-Za-z0-9]++)*+) ?<)?({DOT_ATOM})@({_DOMAIN})(?(1)>)", re.ASCII)
_HOST_NAME = re.compile(_DOMAIN, re.ASCII)
_LOCAL_ASCII = re.compile(DOT_ATOM, re.ASCII)
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\]|\\.)*"')  # RFC 5321 §4.1.2 Quoted-string
_ODD_IN_LOCAL = re.compile(r'[()<>\[\]:;,\\"]')
_NEEDS_QUOTES = re.compile(r'[()<>\[\]:;@\\,."]|^ | $')  # RFC 5322 §3.2.3 specials
_QUOTED_PAIR = re.compile(r"\\(.)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SEPARATOR = re.compile("[,;]")
_IN_BRACKETS = re.compile("<[^<>@]*+@[^<>]*+>")
_BLANKS = " \t"
_TAB_REPLACED = "A TAB in the display name was replaced by a space."
_INVISIBLE_REMOVED = "Invisible or direction-changing characters were removed from the display name."
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# A display name with < and > only within quotation marks, and without separators of addresses outside of them.
_QUOTED_NAME = re.compile(r'((?:"(?:[^"\\]|\\.)*+"|[^"<>,;@])*+)<([^<>]*+)>')

MAX_TEXT = 1_000  # characters of an address with its display name
# Bytes. RFC 5321 §4.5.3.1.1 asks every server for 64; Exchange takes 315, and 571 for the whole address
# (Microsoft.Exchange.Data.SmtpAddress: MaxEmailNameLength, MaxLength), which 315 + @ + 253 cannot reach.
MAX_LOCAL = 315
MAX_DOMAIN = 253  # bytes of a name as written (RFC 1035 §2.3.4 counts 255 on the wire)

# Bidi controls and marks, joiners, soft hyphen, fillers, word joiners, byte order mark, annotations, tag characters.
# A flag of a region (U+1F3F4, tag characters, U+E007F) is matched whole and stays.
_SUSPECT = re.compile(
    "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"
    "|[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)
_JOINERS = "\u200c\u200d"
# Scripts whose letters change their form at a joiner: Arabic to Myanmar, Khmer, Mongolian, their presentation forms.
_JOINING = re.compile("[\u0600-\u109f\u1780-\u18af\ua8e0-\ua8ff\ufb50-\ufdff\ufe70-\ufefe\U00011000-\U00011fff]")
_EMOJI = re.compile("[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]")
_VIRAMA = 9  # Unicode's combining class of the sign after which a joiner selects a form of the consonant

_WORD = re.compile(r"=\?([A-Za-z0-9_:.()+-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([BbQq])\?([^?]*+)\?=")
_BETWEEN = re.compile(r"[ \t\r\n]*")
_Q_ESCAPE = re.compile("=([0-9A-Fa-f]{2})")
_NO_BASE64 = re.compile("[^A-Za-z0-9+/]")

_SAME = (
    *("utf-8", "us-ascii", "koi8-r", "koi8-u", "tis-620", "macintosh"),
    *(f"iso-8859-{part}" for part in range(1, 17) if part != 12),
    *(f"windows-125{part}" for part in range(9)),
    *("gb2312", "gbk", "gb18030", "big5", "big5-hkscs", "hz-gb-2312"),
    *("shift_jis", "euc-jp", "iso-2022-jp", "euc-kr", "iso-2022-kr", "euc-cn"),
)
_CODECS: Mapping[str, str] = {name: name for name in _SAME} | {
    "utf8": "utf-8",
    "ascii": "us-ascii",
    "latin1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "iso-8859-8-i": "iso-8859-8",
    "shift-jis": "shift_jis",
    "sjis": "shift_jis",
    "x-sjis": "shift_jis",
    "windows-31j": "cp932",
    "cp932": "cp932",
    "ks_c_5601-1987": "cp949",
    "windows-949": "cp949",
    "windows-874": "cp874",
    "euc-cn": "gb2312",
    "hz-gb-2312": "hz",
    "macintosh": "mac-roman",
    **{f"cp125{part}": f"windows-125{part}" for part in range(9)},
}


class AddressError(ValueError):
    """Invalid address. Its text is a sentence: what is wrong and how to fix it. It never repeats the input."""


@frozen
class Address:
    """Mailbox address (RFC 5322 §3.4). `local` is as given, `domain` in lower-case A-labels."""

    local: str
    domain: str
    display_name: str = ""

    @property
    def addr_spec(self) -> str:
        """Address for the envelope: local@domain."""
        return f"{self.local}@{self.domain}"

    def render(self) -> str:
        """Return the address in plain Unicode: `"Doe, John" <j@x.com>`."""
        if not self.display_name:
            return self.addr_spec
        if _NEEDS_QUOTES.search(self.display_name):
            return f"{quoted_string(self.display_name)} <{self.addr_spec}>"
        return f"{self.display_name} <{self.addr_spec}>"


def parse_address(text: str) -> Address:
    """Parse `addr` or `name <addr>`. Raises AddressError."""
    return read_address(text)[0]


def normalize_address(address: str) -> str:
    """Return the addr-spec for comparisons: no display name, lower case, A-labels. Raises AddressError."""
    return parse_address(address.strip()).addr_spec.lower()


def read_address(text: str) -> tuple[Address, tuple[str, ...]]:
    """Parse an address; return it with a sentence for each change of the display name. Raises AddressError."""
    if len(text) > MAX_TEXT:
        _refuse(f"The address is longer than {MAX_TEXT} characters; shorten the name before it.")
    common = _COMMON.fullmatch(text)
    if common:
        name, local, domain = common.groups("")
        if len(local) <= MAX_LOCAL and len(domain) <= MAX_DOMAIN:
            return Address(local, domain.lower(), name), ()
    _check_surrogates(text)
    name, spec = _name_and_spec(text.strip(_BLANKS))
    _check_characters(spec)
    local, domain = _local_and_domain(spec)
    _check_local(local)
    shown, changes = _display_name(name)
    return Address(local, _host_name(domain), shown), changes


def quoted_string(text: str) -> str:
    """Return `text` as an RFC 5322 §3.2.4 quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refuse(sentence: str) -> NoReturn:
    raise AddressError(sentence)


def _check_characters(text: str) -> None:
    if _UNFIT.search(text):
        _refuse("The address contains a line break or another control character; remove it.")


def _check_surrogates(text: str) -> None:
    if _SURROGATE.search(text):
        _refuse("The address contains half of a surrogate pair, which is no character; send well-formed Unicode.")


def _name_and_spec(text: str) -> tuple[str, str]:
    """Return the display name as written and the text of the addr-spec."""
    opening, closing = text.count("<"), text.count(">")
    if not opening and not closing:
        return "", text
    if opening > 1 or closing > 1:
        quoted = _QUOTED_NAME.fullmatch(text)
        if not quoted:
            _refuse(
                "There is more than one < or > outside of quotation marks; give exactly one address, such as "
                "Anna <anna@example.com>."
            )
        return quoted[1].strip(_BLANKS), quoted[2].strip(" ")
    if not text.endswith(">") or not opening:
        _refuse("The address must end with its part in < >, such as Anna <anna@example.com>.")
    name, _, spec = text[:-1].partition("<")
    return name.strip(_BLANKS), spec.strip(" ")


def _display_name(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the displayed name and a sentence for each change."""
    if not text:
        return "", ()
    decoded = _decoded_name(text)
    blank = decoded.replace("\t", " ")
    _check_characters(blank)
    shown = visible(blank)
    changes = ((_TAB_REPLACED, blank != decoded), (_INVISIBLE_REMOVED, shown != blank))
    return shown.strip(" "), tuple(sentence for sentence, made in changes if made)


def _decoded_name(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = _QUOTED_PAIR.sub(r"\1", quoted[1])
    elif any("@" in part and _is_spec(part.strip(" ")) for part in _SEPARATOR.split(text)[:-1]):
        _refuse("There is more than one address; give each as an element of its own.")
    return _decoded(text) if "=?" in text else text


def _is_spec(text: str) -> bool:
    return _COMMON.fullmatch(text) is not None


def _decoded(name: str) -> str:
    """Return the name with RFC 2047 words decoded."""
    decoded = decode_encoded_words(name)
    _check_surrogates(decoded)
    if _IN_BRACKETS.search(decoded) and not _IN_BRACKETS.search(name):
        _refuse("The encoded display name contains < or > around an address; leave them out.")
    return decoded


def _local_and_domain(spec: str) -> tuple[str, str]:
    if not spec:
        _refuse("The address is empty; write it like anna@example.com.")
    quoted = _QUOTED_LOCAL.match(spec)
    start = quoted.end() if quoted else 0
    if "@" not in spec[start:]:
        _refuse("The address has no @; write it like anna@example.com.")
    if spec.count("@", start) > 1:
        if _SEPARATOR.search(spec, start) or " " in spec[start:]:
            _refuse("There is more than one address; give each as an element of its own.")
        _refuse("The address has more than one @; write it like anna@example.com.")
    if " " in spec[start:]:
        _refuse("The address contains a space; remove it, or write a name as in Anna <anna@example.com>.")
    at = spec.index("@", start)
    return spec[:at], spec[at + 1 :]


def _check_local(local: str) -> None:
    if not local:
        _refuse("The address has nothing before the @; write it like anna@example.com.")
    if len(local.encode()) > MAX_LOCAL:
        _refuse(f"The part before the @ is longer than {MAX_LOCAL} bytes; use a shorter address.")
    if _LOCAL_ASCII.fullmatch(local) or _QUOTED_LOCAL.fullmatch(local):
        return
    if "\ufffd" in local:
        _refuse("The part before the @ contains U+FFFD, which stands for a character that was lost; correct it.")
    if not local.isprintable():
        _refuse("The part before the @ contains an invisible character; type the address again instead of pasting it.")
    odd = _ODD_IN_LOCAL.search(local)
    if odd:
        _refuse(f"The part before the @ contains {odd[0]}, which is only allowed within quotation marks; remove it.")
    if local[0] == "." or local[-1] == "." or ".." in local:
        _refuse("The part before the @ begins or ends with a dot or has two in a row; remove the dot.")


def _host_name(domain: str) -> str:
    """Return the domain in lower-case A-labels (IDNA 2008 after the mapping of UTS #46)."""
    if not domain:
        _refuse("The address has nothing after the @; write it like anna@example.com.")
    if domain.startswith("["):
        _refuse("The address has an IP address after the @, which Exchange does not accept; use a domain name.")
    if len(domain) > MAX_DOMAIN:
        _refuse(_fault_of_domain(domain))
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            _refuse("The domain is not a valid internationalized name (IDNA 2008); correct its spelling.")
    if _HOST_NAME.fullmatch(domain) and len(domain) <= MAX_DOMAIN:
        return domain.lower()
    _refuse(_fault_of_domain(domain))


def _fault_of_domain(domain: str) -> str:
    labels = domain.split(".")
    if len(labels) == 1:
        return "The domain has no dot; write it in full, such as example.com."
    if "" in labels:
        return "The domain begins or ends with a dot or has two in a row; remove the dot."
    if len(domain) > MAX_DOMAIN:
        return f"The domain is longer than {MAX_DOMAIN} bytes; use a shorter one."
    if max(map(len, labels)) > 63:
        return "A label of the domain is longer than 63 bytes; use a shorter one."
    if labels[-1].isdigit():
        return "The address has an IP address after the @, which Exchange does not accept; use a domain name."
    return "The domain has an invalid character or a misplaced hyphen; use only letters, digits, hyphens and dots."


def visible(name: str) -> str:
    """Return `name` without invisible and direction-changing characters."""
    return name if name.isascii() else _SUSPECT.sub(_kept, name)


def _kept(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) > 1:
        return text
    before = found.string[found.start() - 1 : found.start()] if found.start() else ""
    after = found.string[found.end() : found.end() + 1]
    return text if text in _JOINERS and before and _joins(text, before, after) else ""


def _joins(joiner: str, before: str, after: str) -> bool:
    if combining(before) == _VIRAMA or (_JOINING.match(before) and _JOINING.match(after)):
        return True
    return joiner == "\u200d" and bool(_EMOJI.match(before) and _EMOJI.match(after))


def decode_encoded_words(text: str) -> str:
    """Return `text` with its encoded words decoded. Malformed ones and other charsets stay unchanged."""
    pieces: list[tuple[str | None, str, bytes]] = []  # codec, the source, the bytes; plain text has no codec
    position = 0
    for word in _WORD.finditer(text):
        between = text[position : word.start()]
        codec, data = _CODECS.get(word[1].lower()), _encoded_bytes(word[2], word[3])
        if between and not (pieces and pieces[-1][0] and codec and _BETWEEN.fullmatch(between)):
            pieces.append((None, between, b""))
        pieces.append((codec if data is not None else None, word[0], data or b""))
        position = word.end()
    pieces.append((None, text[position:], b""))
    # Adjacent words of one charset are decoded together: some senders cut a character in two.
    return "".join(_decoded_run(codec, list(run)) for codec, run in groupby(pieces, key=lambda piece: piece[0]))


def _decoded_run(codec: str | None, run: list[tuple[str | None, str, bytes]]) -> str:
    source = "".join(source for _, source, _ in run)
    if codec is None:
        return source
    try:
        return b"".join(data for _, _, data in run).decode(codec)
    except UnicodeError:
        return source


def _encoded_bytes(encoding: str, text: str) -> bytes | None:
    """Return the bytes of one word, or None if it is malformed."""
    if not text.isascii():
        return None
    if encoding in "Qq":
        return _Q_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace("_", " ")).encode("latin-1")
    bare = _NO_BASE64.sub("", text)
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None
