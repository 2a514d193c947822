"""The text part that is made from the html, for html that no mail program wrote."""

import pytest

from tests.contract.api.door import Door

REFERENCES = {"decimal": "&#" + "9" * 5_000 + ";", "hexadecimal": "&#x" + "f" * 5_000 + ";"}


def text_of(door: Door, html: str) -> str:
    """As GET shows it."""
    text = door.get(f"/emails/{door.send(html=html, text=None)}").json()["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("page", ["a{}", "<img alt='a{}'>", "<a href='#{0}'>a{0}</a>", "<pre>a{}</pre>"])
def test_numeric_references_of_any_length(door: Door, kind: str, page: str) -> None:
    """They are accepted, and stand for U+FFFD in the text."""
    assert text_of(door, page.format(REFERENCES[kind])).strip() == "a\ufffd"
