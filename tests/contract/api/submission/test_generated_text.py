"""Text part generated from unusual html."""

import pytest

from tests.contract.api.server import ApiServer

REFERENCES = {"decimal": "&#" + "9" * 5_000 + ";", "hexadecimal": "&#x" + "f" * 5_000 + ";"}


def text_of(server: ApiServer, html: str) -> str:
    """Return the text as GET shows it."""
    text = server.get(f"/emails/{server.send(html=html, text=None)}").json()["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("page", ["a{}", "<img alt='a{}'>", "<a href='#{0}'>a{0}</a>", "<pre>a{}</pre>"])
def test_numeric_references_of_any_length(server: ApiServer, kind: str, page: str) -> None:
    """They are accepted and become U+FFFD in the text."""
    assert text_of(server, page.format(REFERENCES[kind])).strip() == "a\ufffd"
