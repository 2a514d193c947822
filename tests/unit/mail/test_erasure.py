"""Texts of an erased email."""

import pytest

from app.mail import erasure
from app.mail.message.address import AddressError, normalize_address


@pytest.mark.parametrize(("text", "left"), [
    ("550 5.1.1 <ada@example.net>: Recipient address rejected", "550 5.1.1"),
    ("250 2.0.0 OK <ada@example.net> [Hostname=X]", "250 2.0.0"),
    ("250 OK ada@example.net", "250"),
    ("452-4.5.3 Too many", "452-4.5.3"),
    ("ada@example.net has no mailbox", None),
    ("", None),
    (None, None),
])  # fmt: skip
def test_an_erased_reply_has_only_its_codes(text: str | None, left: str | None) -> None:
    """Of RFC 5321 and RFC 3463, which callers use."""
    assert erasure.erase_reply(text) == left


@pytest.mark.parametrize("given", ["Ada@Example.NET", " ada@example.net ", '"Lovelace, Ada" <ADA@example.net>'])
def test_one_address_in_several_spellings(given: str) -> None:
    """Compared without case and display name."""
    assert normalize_address(given) == "ada@example.net"


def test_an_international_domain_matches_in_both_forms() -> None:
    assert normalize_address("Ada@BÜCHER.example") == normalize_address("ada@xn--bcher-kva.example")


@pytest.mark.parametrize(
    "given", ["", "nobody", "@example.net", "*@example.net,b@example.net", "ada@example.net\n\x00"]
)
def test_an_invalid_address_is_refused(given: str) -> None:
    """So that no other email is erased by mistake."""
    with pytest.raises(AddressError):
        normalize_address(given)


@pytest.mark.parametrize(
    "entry",
    [
        "xada@example.net",
        "ada@example.net.evil.test",
        "ada@example.network",
        "Ada <x@y.zz>",
        '"ada@example.net" <x@y.zz>',
    ],
)
def test_a_similar_address_is_another(entry: str) -> None:
    """Neither a part of one nor a display name matches."""
    head = {"to": [entry], "cc": [], "bcc": [], "reply_to": []}
    assert not erasure.has_address(head, [entry], "ada@example.net")


def test_the_message_id() -> None:
    """Unchanged for Message trace, unless it has an address."""
    assert erasure.erase_message_id("1@contoso.com", ["ada@example.net"], "own") == "1@contoso.com"
    assert erasure.erase_message_id("for-ADA@example.net", ["ada@example.net"], "own") == "own@erased.invalid"
