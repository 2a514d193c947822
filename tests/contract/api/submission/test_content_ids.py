"""Inline files by `cid:` references in all usual spellings, for every content id."""

import base64
import re
from email.message import EmailMessage
from html import escape, unescape
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, Json, refused

PNG = base64.b64encode(b"\x89PNG").decode()
NOT_SAFE = [
    *("company logo.png", " logo  1 .png", "Übersicht.png", "U\u0308bersicht.png", "會社.png", "a\tb.png", "x" * 129),
    *("x" * 1000, "ü" * 300, "100%.png", "a%20b.png", "a&b.png", "a<b>c.png", 'a"b.png', "it's.png", "(a) [b].png"),
    *("a=?utf-8?q?x?=", "a#b?c.png", "a,b;c:d.png", "a\\b.png", "\u202egnp.exe", "a\u2028b", "a\x85b", "a\u00a0b"),
]
SAFE = ["logo", "logo.png", "logo@contoso.com", "image001.png@01D57867.BA7E4660", "a/b-c_d+e=f", "x" * 128]


class Sent(NamedTuple):
    """Structure of a message, its html, its files and the fields with warnings."""

    shape: list[str]
    html: str
    files: list[EmailMessage]
    warned: list[str]


def sent(server: ApiServer, html: str | None, *content_ids: str | None, **changes: Any) -> Sent:
    """Send with one file for each content id."""
    files = [{"filename": f"{n}.png", "content": PNG, "content_id": one} for n, one in enumerate(content_ids)]
    response = server.post(MINIMAL | {"html": html, "attachments": files} | changes)
    assert response.status_code == 200, response.text
    parts = [*server.message(response.json()["id"]).walk()]
    page = next((part for part in parts if part.get_content_type() == "text/html"), None)
    return Sent(
        [part.get_content_subtype() for part in parts if part.is_multipart()],
        page.get_content() if page else "",
        [part for part in parts if part.get_content_disposition() is not None],
        [warning["field"] for warning in response.json().get("warnings", [])],
    )


def references(html: str) -> list[str]:
    """Return the ids in quoted attributes, as a mail program finds them."""
    return [unquote(unescape(one)) for one in re.findall('cid:([^"]*)"', html)]


def shown(file: EmailMessage) -> str:
    """Return the content id of an inline file."""
    assert file.get_content_disposition() == "inline"
    return str(file["Content-ID"]).removeprefix("<").removesuffix(">")


def attached(file: EmailMessage, content_id: str | None = None) -> bool:
    """Return an ordinary attachment. Its valid id stays: Gmail gives one to every attachment."""
    given = None if content_id is None else f"<{content_id}>"
    return file.get_content_disposition() == "attachment" and file["Content-ID"] == given


@pytest.mark.parametrize("content_id", [*SAFE, *NOT_SAFE])
@pytest.mark.parametrize("html", [None, "", "<p>x</p>", '<img src="cid:other">', "<p>cid: or cid:elsewhere</p>"])
def test_a_file_without_a_reference_is_an_attachment(server: ApiServer, html: str | None, content_id: str) -> None:
    message = sent(server, html, content_id)
    assert "related" not in message.shape
    assert message.shape[0] == "mixed"
    assert attached(message.files[0], content_id if content_id in SAFE else None)
    assert message.warned == ["attachments[0].content_id"]
    assert message.html.strip() == (html or "")


@pytest.mark.parametrize("given", ["{}", "<{}>", "cid:{}", "CID:{}", " <cid:{}> ", "cid:<{}>"])
@pytest.mark.parametrize("content_id", [*SAFE, *NOT_SAFE])
def test_any_id_gets_a_safe_id_in_file_and_html(server: ApiServer, content_id: str, given: str) -> None:
    html = f'<p><img src="cid:{escape(content_id)}"> <img src="cid:{quote(content_id, safe="")}"></p>'
    message = sent(server, html, given.format(content_id))
    assert message.shape == ["alternative", "related"]
    (file,) = message.files
    assert re.fullmatch(r"[A-Za-z0-9.@_/+=-]{1,128}", shown(file))
    assert references(message.html) == [shown(file)] * 2
    assert message.warned == ([] if content_id in SAFE else ["attachments[0].content_id"])
    if content_id in SAFE:
        assert shown(file) == content_id
        assert message.html.strip() == html


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:{}">',
        "<img src='cid:{}'>",
        "<img src=cid:{}>",
        "<img src = cid:{} width=5>",
        '<IMG SRC="CID:{}">',
        '<img src=" cid:{} ">',
        '<img srcset="cid:other 1x, cid:{} 2x">',
        '<img srcset="cid:{} 1x">',
        '<table background="cid:{}">',
        "<a href='cid:{}'>open</a>",
        '<p style="background:url(cid:{})">',
        "<p style=\"background:url('cid:{}')\">",
        '<p style="background:url( &quot;cid:{}&quot; )">',
        "<p style='background:url(&#39;cid:{}&#39;)'>",
        "<style>p{{background:url(cid:{})}} b{{background:url(x)}}</style>",
        '<!--[if gte mso 9]><v:fill type="tile" src="cid:{}"><![endif]-->',
        '<img src="cid&#58;{}">',
        '<img src="cid&#x3a;{}">',
        '<img src="cid:{}#part">',
        '<img src="cid:<{}>">',
        '<img src="cid:\r\n{}">',
    ],
)
@pytest.mark.parametrize("content_id", ["logo", "my-logo_1.png", "logo@x", "Größe.png"])
def test_references_are_found_as_mail_programs_do(server: ApiServer, html: str, content_id: str) -> None:
    """In attributes, style sheets and Outlook's comments."""
    message = sent(server, html.format(content_id), content_id)
    assert "related" in message.shape
    assert re.sub("&#58;|&#x3a;", ":", message.html).lower().count(f"cid:{shown(message.files[0])}".lower()) == 1


@pytest.mark.parametrize(
    ("content_id", "reference", "stored"),
    [
        ("logo@x", "logo%40x", True),
        ("logo@x", "logo&#64;x", True),
        ("Logo", "logo", False),
        ("logo", "LOGO", False),
        ("my%20logo.png", "my logo.png", False),
        ("my logo.png", "my%20logo.png", False),
        ("my  logo.png", "my logo.png", False),
        ("U\u0308ber.png", "Über.png", False),
        ("Über.png", "%C3%9Cber.png", False),
        ("a&b", "a&amp;b", False),
    ],
)
def test_another_spelling_is_rewritten_as_the_content_id(
    server: ApiServer, content_id: str, reference: str, stored: bool
) -> None:
    """Correct escaped references stay."""
    message = sent(server, f'<img src="cid:{reference}">', content_id)
    assert references(message.html) == [shown(message.files[0])]
    assert (f'cid:{reference}"' in message.html) is stored


def test_only_referenced_files_are_inline(server: ApiServer) -> None:
    """Similar text is no reference."""
    message = sent(server, '<img src="cid:b"><img src="cid:b"><img src="cid:c d">', "a", "b", "bb", "c d", "c", None)
    assert message.shape == ["mixed", "alternative", "related"]
    assert [shown(file) for file in message.files[:2]] == references(message.html)[1:]
    assert all(map(attached, message.files[2:], ["a", "bb", "c", None]))
    assert [file.get_filename() for file in message.files] == ["1.png", "3.png", "0.png", "2.png", "4.png", "5.png"]
    assert message.warned == [f"attachments[{n}].content_id" for n in (0, 2, 3, 4)]


@pytest.mark.parametrize("content_id", ["logo", "my logo.png"])
def test_a_repeated_id_is_shown_once(server: ApiServer, content_id: str) -> None:
    """The second file is an attachment."""
    message = sent(server, f'<img src="cid:{content_id}">', content_id, content_id)
    assert references(message.html) == [shown(message.files[0])]
    assert attached(message.files[1])
    assert "attachments[1].content_id" in message.warned


def test_ids_that_differ_in_case(server: ApiServer) -> None:
    """Each reference leads to its own file."""
    message = sent(server, '<img src="cid:LOGO"><img src="cid:logo">', "logo", "LOGO")
    assert [shown(file) for file in message.files] == ["logo", "LOGO"]
    assert references(message.html) == ["LOGO", "logo"]
    assert message.warned == []


@pytest.mark.parametrize("content_id", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "\x1b[0m", "a\x7fb", "a>\r\n\r\n<b"])
def test_control_characters_are_refused(server: ApiServer, content_id: str) -> None:
    files = [{"content": PNG, "content_id": content_id}]
    response = server.post(MINIMAL | {"html": f'<img src="cid:{content_id}">', "attachments": files})
    refused(response, 422, "invalid_attachment", "attachments[0].content_id")


@pytest.mark.parametrize("content_id", ["cid:my logo.png", "cid:Übersicht.png", "my logo.png"])
def test_postmarks_cid_prefix_is_removed(server: ApiServer, content_id: str) -> None:
    """As Symfony's transport sends it: the filename after `cid:`."""
    email: Json = {"From": MINIMAL["from"], "To": "a@example.com", "Subject": "x"}
    email["HtmlBody"] = f'<img src="cid:{content_id.removeprefix("cid:")}">'
    email["Attachments"] = [{"Name": "my logo.png", "Content": PNG, "ContentID": content_id}]
    for path, body in (("/email", email), ("/email/batch", [email])):
        answer = server.post(body, path).json()
        (one,) = answer if isinstance(answer, list) else [answer]
        assert [warning["field"] for warning in one["warnings"]] == ["Attachments[0].ContentID"]
        parts = [*server.message(one["MessageID"]).walk()]
        (page,) = (part for part in parts if part.get_content_type() == "text/html")
        assert references(page.get_content()) == [shown(parts[-1])]


@pytest.mark.parametrize(
    "piece", ['"cid:', '"cid:a b" ', "=cid:x ", "(cid:", "=    ", "cid:", "'cid:&#58;", ";cid:%41"]
)
def test_hostile_html_is_sent_unchanged(server: ApiServer, piece: str) -> None:
    """Quadratic time would exceed the suite's timeout."""
    html = piece * (300_000 // len(piece))
    assert sent(server, html, "a" * 5000, "<" * 100, text="x").html.strip() == html.strip()
