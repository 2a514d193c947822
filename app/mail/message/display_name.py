"""Removal of invisible and direction-changing characters from display names. Pure.

Such characters let one name be shown as another (Unicode UTS #39 §3.1, UTR #36 §2). Joiners stay where a script or an
emoji needs them.
"""

import re
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
