"""Text from outside, escaped for display."""

import sys
import unicodedata

import pytest

from app.mail.safe_text import QUOTE_LIMIT, cut, escape_controls

# Format characters that have a glyph of their own (Arabic and Kaithi number signs, Egyptian joiners).
VISIBLE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("äöüß", 3, "äö…"), ("a" * 50_000_000, 4, "aaa…")],
)
def test_long_text_is_cut_and_marked(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


def test_without_a_limit_a_quoted_value_has_a_few_hundred_characters() -> None:
    assert len(cut("x" * 10_000)) == QUOTE_LIMIT <= 300


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße, 東京 👍🏽 a\xa0b", "Grüße, 東京 👍🏽 a\xa0b"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]8;;http://x\x1b\\y\x07", "\\x1b]8;;http://x\\x1b\\y\\x07"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("gpj\u202eexe", "gpj\\u202eexe"),
        ("a\u200bb\u2066c\ufeffd\u061ce", "a\\u200bb\\u2066c\\ufeffd\\u061ce"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("half \ud83d", "half \\ud83d"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_acts_on_a_terminal_or_is_invisible_becomes_a_visible_escape(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


def test_text_of_many_lines_keeps_its_lines_and_tabs_alone() -> None:
    assert escape_controls("a\tb\nc\r\x1b\u2028", multiline=True) == "a\tb\nc\\r\\x1b\\u2028"


def test_every_control_format_surrogate_and_separator_character_of_unicode_is_escaped() -> None:
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    left = [
        hex(ord(character))
        for character in EVERY_CHARACTER
        if unicodedata.category(character) in acting
        and ord(character) not in VISIBLE
        and not escape_controls(character).isascii()
    ]
    assert left == []


def test_what_is_escaped_is_the_same_when_it_is_escaped_again() -> None:
    once = escape_controls("".join(EVERY_CHARACTER))
    assert escape_controls(once) == once
