"""Display names: removal of invisible and direction-changing characters, and decoding of RFC 2047 encoded words. Pure.

Such characters let one name be shown as another (Unicode UTS #39 §3.1, UTR #36 §2). Joiners stay where a script or an
emoji needs them. Only charsets of a fixed list are decoded: other codecs of Python take quadratic time (punycode,
idna), are not charsets (base64, zlib) or hide characters (utf-7).
"""

import binascii
import re
from collections.abc import Mapping
from itertools import groupby
from unicodedata import combining

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
        codec, data = _CODECS.get(word[1].lower()), _bytes(word[2], word[3])
        if between and not (pieces and pieces[-1][0] and codec and _BETWEEN.fullmatch(between)):
            pieces.append((None, between, b""))
        pieces.append((codec if data is not None else None, word[0], data or b""))
        position = word.end()
    pieces.append((None, text[position:], b""))
    # Adjacent words of one charset are decoded together: some senders cut a character in two.
    return "".join(_decoded(codec, list(run)) for codec, run in groupby(pieces, key=lambda piece: piece[0]))


def _decoded(codec: str | None, run: list[tuple[str | None, str, bytes]]) -> str:
    source = "".join(source for _, source, _ in run)
    if codec is None:
        return source
    try:
        return b"".join(data for _, _, data in run).decode(codec)
    except UnicodeError:
        return source


def _bytes(encoding: str, text: str) -> bytes | None:
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
