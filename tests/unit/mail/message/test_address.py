"""Address parser: accepted and refused texts with their sentences, and rendering as its inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import Address, AddressError, parse_address

TAKEN = [
    ("anna@example.com", Address("anna", "example.com")),
    ("  anna@example.com ", Address("anna", "example.com")),
    ("<anna@example.com>", Address("anna", "example.com")),
    ("Anna Smith <anna@example.com>", Address("anna", "example.com", "Anna Smith")),
    ("Anna<anna@example.com>", Address("anna", "example.com", "Anna")),
    ("Doe, John <j@x.com>", Address("j", "x.com", "Doe, John")),
    ('"Doe, John" <j@x.com>', Address("j", "x.com", "Doe, John")),
    (r'"Jack \"The \\ Ripper\"" <j@x.com>', Address("j", "x.com", r'Jack "The \ Ripper"')),
    ('John "Jack" Doe <j@x.com>', Address("j", "x.com", 'John "Jack" Doe')),
    ("Dr. J. Doe <j@x.com>", Address("j", "x.com", "Dr. J. Doe")),
    ("j@x.com <j@x.com>", Address("j", "x.com", "j@x.com")),
    ("Doe, j@x.com <j@x.com>", Address("j", "x.com", "Doe, j@x.com")),
    ("Ünï Cödé <u@x.com>", Address("u", "x.com", "Ünï Cödé")),
    ("🚀 <u@x.com>", Address("u", "x.com", "🚀")),
    ("=?utf-8?q?J=C3=B6rg?= <j@x.com>", Address("j", "x.com", "Jörg")),
    ("=?utf-8?b?SsO2cmc=?= =?iso-8859-1?q?_M=FCller?= <j@x.com>", Address("j", "x.com", "Jörg Müller")),
    ('"=?utf-8?q?M=C3=BCller=2C_J?=" <j@x.com>', Address("j", "x.com", "Müller, J")),
    ("=?no-such-charset?q?J?= <j@x.com>", Address("j", "x.com", "=?no-such-charset?q?J?=")),
    ("Anna@Example.COM", Address("Anna", "example.com")),
    ("j@bücher.example", Address("j", "xn--bcher-kva.example")),
    ("j@BÜCHER。example", Address("j", "xn--bcher-kva.example")),
    ("j@xn--bcher-kva.example", Address("j", "xn--bcher-kva.example")),
    ("jörg@x.com", Address("jörg", "x.com")),
    ('"john doe"@x.com', Address('"john doe"', "x.com")),
    ('"a@b"@x.com', Address('"a@b"', "x.com")),
    ("o'neil+tag/x=1@x.com", Address("o'neil+tag/x=1", "x.com")),
    ("a@1and1.example", Address("a", "1and1.example")),
    ("a" * 64 + "@x.com", Address("a" * 64, "x.com")),
    ("a" * 315 + "@x.com", Address("a" * 315, "x.com")),
    ("Anna <reply+" + "0f" * 40 + "@x.com>", Address("reply+" + "0f" * 40, "x.com", "Anna")),
    ("ü" * 157 + "@x.com", Address("ü" * 157, "x.com")),
    ("a" * 60 + "@" + "b." * 96 + "com", Address("a" * 60, "b." * 96 + "com")),
    ("a" * 315 + "@" + "b." * 125 + "com", Address("a" * 315, "b." * 125 + "com")),
    ('"A -> B Logistics" <j@x.com>', Address("j", "x.com", "A -> B Logistics")),
    ('"a <b> c" <j@x.com>', Address("j", "x.com", "a <b> c")),
    ('"<<<" <j@x.com>', Address("j", "x.com", "<<<")),
    (r'"say \">\"" <j@x.com>', Address("j", "x.com", 'say ">"')),
    ('"A > B, C; D" <j@x.com>', Address("j", "x.com", "A > B, C; D")),
    ('"A -> B" Logistics <j@x.com>', Address("j", "x.com", '"A -> B" Logistics')),
    ('"A > B (C)"<j@x.com>', Address("j", "x.com", "A > B (C)")),
    ("=?utf-8?q?A_-=3E_B?= <j@x.com>", Address("j", "x.com", "A -> B")),
    ("Anna\tSmith <j@x.com>", Address("j", "x.com", "Anna Smith")),
    ('"Anna\tSmith"\t<j@x.com>', Address("j", "x.com", "Anna Smith")),
    ("=?utf-8?q?Anna=09Smith?= <j@x.com>", Address("j", "x.com", "Anna Smith")),
    ("Anna\u202e htimS <j@x.com>", Address("j", "x.com", "Anna htimS")),
    ("=?utf-8?q?An=E2=80=8Bna?= <j@x.com>", Address("j", "x.com", "Anna")),
    ("\u200f\u2066\u2069\ufeff <j@x.com>", Address("j", "x.com")),
    ("👩\u200d👩\u200d👧 A <j@x.com>", Address("j", "x.com", "👩\u200d👩\u200d👧 A")),
    ("🏴\U000e0067\U000e0062\U000e007f <j@x.com>", Address("j", "x.com", "🏴\U000e0067\U000e0062\U000e007f")),
    ("An\u200dna <j@x.com>", Address("j", "x.com", "Anna")),
    ("می\u200cخواهم <j@x.com>", Address("j", "x.com", "می\u200cخواهم")),
    ("ന്\u200d <j@x.com>", Address("j", "x.com", "ന്\u200d")),
    ("A \ufffd <j@x.com>", Address("j", "x.com", "A \ufffd")),
    ("=?punycode?q?abc-?= <j@x.com>", Address("j", "x.com", "=?punycode?q?abc-?=")),
    ("=?utf-7?q?+AGE-?= <j@x.com>", Address("j", "x.com", "=?utf-7?q?+AGE-?=")),
    ("=?iso-2022-jp?b?GyRCRnxLXBsoQg==?= <j@x.com>", Address("j", "x.com", "日本")),
    ("=?UTF-8*en?Q?J=C3=B6rg?= <j@x.com>", Address("j", "x.com", "Jörg")),
    ("=?utf-8?b?8J+a?= =?utf-8?b?gA==?= <j@x.com>", Address("j", "x.com", "🚀")),
]

REFUSED = [
    ("", "is empty"),
    ("Anna <>", "is empty"),
    ("nope", "has no @"),
    ("undisclosed-recipients:;", "has no @"),
    ("a@x.com, b@x.com", "more than one address"),
    ("a@x.com; b@x.com", "more than one address"),
    ("a@x.com,b@x.com", "more than one address"),
    ("a@x.com, B <b@x.com>", "more than one address"),
    ("A <a@x.com> <b@x.com>", "more than one < or >"),
    ("A <a@x.com>, b@x.com", "must end"),
    ("A <B> <a@x.com>", "more than one < or >"),
    ("A <a@x.com", "must end"),
    ("A a@x.com>", "must end"),
    ("=?utf-8?q?=3Cb=40x=2Ecom=3E?= <a@x.com>", "contains < or >"),
    ("a@b@x.com", "more than one @"),
    ("@x.com", "nothing before"),
    ("a@", "nothing after"),
    ("a b@x.com", "contains a space"),
    ("a@x.com (Anna)", "contains a space"),
    ("a@x .com", "contains a space"),
    (".a@x.com", "dot"),
    ("a.@x.com", "dot"),
    ("a..b@x.com", "dot"),
    ("a(b@x.com", "quotation marks"),
    ("mailto:a@x.com", "quotation marks"),
    ("a\u200bb@x.com", "invisible"),
    ("a\u00a0b@x.com", "invisible"),
    ("a@localhost", "no dot"),
    ("a@x.com.", "dot"),
    ("a@.x.com", "dot"),
    ("a@x..com", "dot"),
    ("a@x_y.com", "hyphens"),
    ("a@-x.com", "hyphen"),
    ("a@x.com,", "hyphens"),
    ("a@[192.0.2.1]", "Exchange does not accept"),
    ("a@[IPv6:2001:db8::1]", "Exchange does not accept"),
    ("a@192.0.2.1", "Exchange does not accept"),
    ("a@i❤.example", "IDNA"),
    ("a@bü\u200d.example", "IDNA"),
    ("a" * 316 + "@x.com", "315 bytes"),
    ("ü" * 158 + "@x.com", "315 bytes"),
    ("n" * 1000 + " <a@x.com>", "1000 characters"),
    ("a\ufffd@x.com", "U+FFFD"),
    ("a@\ufffd.com", "IDNA"),
    ('"A" <a@x.com>, "B" <b@x.com>', "more than one < or >"),
    ('"A <a@x.com>", B <b@x.com>', "more than one < or >"),
    ('"A" <a@x.com> <b@x.com>', "more than one < or >"),
    ('"A > B <a@x.com>', "more than one < or >"),
    ("(A <c@x.com>) <a@x.com>", "more than one < or >"),
    ("Friends: A <a@x.com>, B <b@x.com>;", "more than one < or >"),
    ("Friends: a@x.com;", "contains a space"),
    ("<@c.com,@d.com:a@x.com>", "more than one address"),
    ("a@" + "b" * 64 + ".com", "63 bytes"),
    ("a@" + "b." * 125 + "comm", "253 bytes"),
    ("a@x.com\r\nBcc: b@x.com", "control character"),
    ("Anna\r\n <a@x.com>", "control character"),
    ("Anna\x00 <a@x.com>", "control character"),
    ("An\x85na <a@x.com>", "control character"),
    ("An\u2028na <a@x.com>", "control character"),
    ("=?utf-8?q?A=0D=0ABcc=3A?= <a@x.com>", "control character"),
    ("a\t@x.com", "control character"),
    ("A\ud800 <a@x.com>", "surrogate"),
]


@pytest.mark.parametrize(("text", "address"), TAKEN, ids=[text for text, _ in TAKEN])
def test_an_accepted_address_is_normalized(text: str, address: Address) -> None:
    """Plain display name, local part as given, domain in lower-case A-labels."""
    assert parse_address(text) == address


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[ascii(text)[:40] for text, _ in REFUSED])
def test_a_text_that_is_not_one_address_is_refused(text: str, words: str) -> None:
    """With one sentence of its fault."""
    with pytest.raises(AddressError) as refusal:
        parse_address(text)
    sentence = str(refusal.value)
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("j", "x.com"), "j@x.com"),
        (Address("j", "x.com", "John Doe"), "John Doe <j@x.com>"),
        (Address("j", "x.com", "Doe, John"), '"Doe, John" <j@x.com>'),
        (Address("j", "x.com", 'The "J"'), r'"The \"J\"" <j@x.com>'),
        (Address("j", "x.com", "Jörg"), "Jörg <j@x.com>"),
    ],
)
def test_an_address_is_rendered_in_unicode(address: Address, text: str) -> None:
    """Quoted where necessary."""
    assert address.render() == text


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No other exception, and a parsed one parses the same again."""
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(address.addr_spec) == Address(address.local, address.domain)


PIECES = [
    "a",
    "B",
    ".",
    "@",
    "x.com",
    "<",
    ">",
    '"',
    "\\",
    ",",
    ";",
    " ",
    "ü",
    "=?utf-8?q?=C3=BC?=",
    "=?utf-8?q?=00?=",
    "[",
    "\r",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_similar_texts_are_parsed_or_refused(text: str) -> None:
    """Two addresses in one are never parsed as one."""
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert not set("\r\n<>") & set(address.addr_spec)
    assert not set("\r\n") & set(address.display_name)
    if '"' not in text:  # where < and > may stand in a name
        assert not set("<>") & set(address.display_name)
    assert parse_address(address.addr_spec) == Address(address.local, address.domain)


INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2065\u3164\uffa0" + "".join(
    map(chr, range(0xFFF0, 0xFFFC))
)
NAMES = st.text(
    st.characters(
        exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters=INVISIBLE, max_codepoint=0xDFFFF
    )
).map(lambda t: t.strip(" "))


@given(NAMES.filter(lambda name: "=?" not in name))
def test_rendering_is_the_inverse_of_parsing(name: str) -> None:
    """For any display name."""
    address = Address("anna.smith", "example.com", name)
    assert parse_address(address.render()) == address
