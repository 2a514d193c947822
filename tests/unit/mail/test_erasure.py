"""What is left of an erased email's texts."""

import pytest

from app.mail import erasure
from app.mail.message.address import AddressError


@pytest.mark.parametrize(("text", "left"), [
    ("550 5.1.1 <ada@example.net>: Recipient address rejected", "550 5.1.1"),
    ("250 2.0.0 OK <ada@example.net> [Hostname=X]", "250 2.0.0"),
    ("250 OK ada@example.net", "250"),
    ("452-4.5.3 Too many", "452-4.5.3"),
    ("ada@example.net has no mailbox", None),
    ("", None),
    (None, None),
])  # fmt: skip
def test_of_a_reply(text: str | None, left: str | None) -> None:
    """The codes of RFC 5321 and RFC 3463, which a caller decides by."""
    assert erasure.erase_reply(text) == left


@pytest.mark.parametrize("given", ["Ada@Example.NET", " ada@example.net ", '"Lovelace, Ada" <ADA@example.net>'])
def test_one_address_in_several_spellings(given: str) -> None:
    """Compared without case and display name."""
    assert erasure.normalize_address(given) == "ada@example.net"


def test_an_international_domain() -> None:
    """In both of its forms."""
    assert erasure.normalize_address("Ada@BÜCHER.example") == erasure.normalize_address("ada@xn--bcher-kva.example")


@pytest.mark.parametrize(
    "given", ["", "nobody", "@example.net", "*@example.net,b@example.net", "ada@example.net\n\x00"]
)
def test_what_is_no_address(given: str) -> None:
    """Refused, so that nothing else is erased by mistake."""
    with pytest.raises(AddressError):
        erasure.normalize_address(given)


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
    """Neither a part of one nor a display name."""
    head = {"to": [entry], "cc": [], "bcc": [], "reply_to": []}
    assert not erasure.has_address(head, [entry], "ada@example.net")


def test_the_message_id() -> None:
    """Stays as it is for Message trace, unless a caller has put an address into it."""
    assert erasure.erase_message_id("1@contoso.com", ["ada@example.net"], "own") == "1@contoso.com"
    assert erasure.erase_message_id("for-ADA@example.net", ["ada@example.net"], "own") == "own@erased.invalid"
