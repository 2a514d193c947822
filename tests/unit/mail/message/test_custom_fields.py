"""Custom header fields: the standard library decodes the submitted value, and lines are short."""

import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import Address, AddressError, decode_encoded_words, visible
from app.mail.message.headers import (
    ADDRESS_FIELDS,
    ID_FIELDS,
    URL_FIELDS,
    HeaderError,
    addresses,
    check_custom_field,
    custom_field,
)

STRUCTURED = sorted(ADDRESS_FIELDS | URL_FIELDS | ID_FIELDS | {"list-id"})
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, include_characters="\t"), max_size=1500)
PIECES = st.lists(
    st.sampled_from(
        ["<a@x.com>", "<https://x.example/a>", ",", " ", "\t", '"a, b"', "ü", "<", ">", '"', "\\", "Größe"]
    ),
    max_size=200,
).map("".join)


def unfolded(field: str) -> str:
    """The value, after the form of the field was checked."""
    assert field.endswith("\r\n")
    lines = field[:-2].split("\r\n")
    assert max(map(len, lines)) <= 998
    assert all(line[0] in " \t" and line.strip() for line in lines[1:])
    assert field.isascii()
    return "".join(lines).partition(":")[2].strip(" \t")


@given(PRINTABLE)
def test_plain_text_is_unfolded_to_itself(value: str) -> None:
    """Of any length and with any white space."""
    read = unfolded(custom_field("X-Note", value))
    assert str(make_header(decode_header(read))) if "=?utf-8?" in read else read == value.strip(" \t")


@given(st.sampled_from(STRUCTURED), PIECES | PRINTABLE)
def test_structured_fields_are_written_or_refused(name: str, value: str) -> None:
    """In ASCII only white space changes, and no part becomes an encoded word."""
    try:
        field = custom_field(name, value)
    except HeaderError:
        with pytest.raises(HeaderError):
            check_custom_field(name, value)
        return
    check_custom_field(name, value)
    read = unfolded(field)
    if value.isascii():
        assert re.sub(r"[ \t]", "", read) == re.sub(r"[ \t]", "", value)
    message = message_from_bytes(field.encode() + b"\r\n", policy=policy.default)
    assert [key.lower() for key in message] == [name]


@pytest.mark.parametrize("name", ["References", "List-Unsubscribe", "List-Id", "Errors-To"])
@pytest.mark.parametrize("length", [998, 5_000])
def test_a_token_without_a_place_to_fold_is_refused(name: str, length: int) -> None:
    """As encoded words it would be no URL, address or identifier."""
    with pytest.raises(HeaderError, match="998"):
        custom_field(name, f"<{'a' * length}@x.com>")


def test_a_long_first_word_has_its_own_line() -> None:
    url = f"<https://x.example/{'a' * 970}>"
    assert custom_field("List-Unsubscribe", url) == f"List-Unsubscribe:\r\n {url}\r\n"


def test_a_list_has_at_most_1000_addresses() -> None:
    """So that the cost of a value is bounded."""
    assert len(addresses(",".join(["a@x.com"] * 1000))) == 1000
    with pytest.raises(AddressError, match="more than 1000 addresses"):
        addresses(",".join(["a@x.com"] * 1001))


def test_addresses_of_a_list() -> None:
    """Commas separate them, or are in the quoted or unquoted name of a single one."""
    assert addresses('"B, A" <b@x.com>, c@x.com,') == (Address("b", "x.com", "B, A"), Address("c", "x.com"))
    assert addresses("Doe, John <j@x.com>") == (Address("j", "x.com", "Doe, John"),)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("x=?utf-8?q?a?=y", "xay"),
        ("=?utf-8?q?a_b=5F?=", "a b_"),
        ("=?utf-8?b?w7w?=", "ü"),
        ("=?utf-8?b?w7?=", "=?utf-8?b?w7?="),
        ("=?utf-8?q?=FF?=", "=?utf-8?q?=FF?="),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?a", "=?utf-8?q?a"),
        ("=?utf-8?q??=", ""),
        ("=?no-such?q?a?= =?utf-8?q?b?=", "=?no-such?q?a?= b"),
        ("=?gb2312?b?1tA=?= =?gb2312?b?zsQ=?=", "中文"),
        ("=?windows-1252?q?=80?=", "€"),
        ("=?ks_c_5601-1987?b?x9GxuQ==?=", "한국"),
        ("=?euc-jp?b?xvzL3A==?=", "日本"),
        *(
            (text, text)
            for text in ("=?idna?q?a?=", "=?unicode_escape?q?=5Cx41?=", "=?rot13?q?a?=", "=?utf-16?b?AEE=?=")
        ),
        *(
            (text, text)
            for text in ("=?raw_unicode_escape?q?a?=", "=?zlib_codec?b?eA==?=", "=?utf-7?q?a?=", "=?mbcs?q?a?=")
        ),
    ],
)
def test_encoded_words_are_decoded(text: str, read: str) -> None:
    """RFC 2047, in the charsets of mail only; undecodable ones stay."""
    assert decode_encoded_words(text) == read


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["=?", "utf-8", "?q?", "?b?", "?=", " ", "=C3", "w7w="])).map("".join)
)
def test_any_text_can_be_decoded(text: str) -> None:
    """Nothing is raised, and text without an encoded word stays."""
    read = decode_encoded_words(text)
    assert read == text or "=?" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg", "abcdefg"),
        ("\u202a\u202b\u202c\u202d\u202ea\u2066\u2067\u2068\u2069\u200e\u200f\u061c", "a"),
        ("\u3164\u115f\uffa0\u180e", ""),
        ("👩🏽\u200d🚀", "👩🏽\u200d🚀"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",) * 2,
        ("a\U000e0067\U000e0062", "a"),
        ("क्\u200dष", "क्\u200dष"),
        ("শ্\u200cর", "শ্\u200cর"),
        ("র\u200d্য", "র\u200d্য"),
        ("\u200dक", "क"),
        ("a\u200d", "a"),
        ("葛\U000e0100", "葛\U000e0100"),
    ],
)
def test_visible_names(name: str, shown: str) -> None:
    """Joiners stay in emoji and in the scripts that need them; other invisible characters are removed."""
    assert visible(name) == shown
