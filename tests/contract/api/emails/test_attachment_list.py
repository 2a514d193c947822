"""List and download of the files of an email."""

import base64
from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from app.store.keys.records import Permission
from tests.contract.api.server import ApiServer, Json, refused

PDF = b"%PDF-1.7\r\n" + bytes(range(256)) * 10
KEYS = ["id", "filename", "size", "content_type", "content_disposition", "content_id", "download_url", "expires_at"]


@pytest.fixture(scope="module")
def email(server: ApiServer) -> str:
    """Email with a file, a picture inside the html, a text, and an empty file without a name."""
    return server.send(
        html='<img src="cid:logo">',
        attachments=[
            {"filename": "Rechnung März; №1.pdf", "content": base64.b64encode(PDF).decode()},
            {"filename": "logo.png", "content": [1, 2, 3], "content_id": "<logo>"},
            {"filename": "notes.txt", "content": "aGk=", "content_type": "text/plain; charset=utf-8"},
            {"content": "", "content_type": "text/csv"},
        ],
    )


def listed(server: ApiServer, id_: str) -> list[Json]:
    """Return the list after a check of its form."""
    response = server.get(f"/emails/{id_}/attachments")
    assert response.status_code == 200, response.text
    body: Json = response.json()
    assert (body["object"], body["has_more"]) == ("list", False)
    data: list[Json] = body["data"]
    assert all(list(one) == KEYS for one in data)
    return data


def download(server: ApiServer, file: Json) -> httpx.Response:
    """Download from the listed URL with the API key."""
    return server.get(file["download_url"])


def test_the_list_has_name_size_and_type(server: ApiServer, email: str) -> None:
    """Files that the html shows are marked as inline."""
    files = {one["filename"]: one for one in listed(server, email)}
    facts = {
        name: (one["size"], one["content_type"], one["content_disposition"], one["content_id"])
        for name, one in files.items()
    }
    assert facts == {
        "Rechnung März; №1.pdf": (len(PDF), "application/pdf", "attachment", None),
        "logo.png": (3, "image/png", "inline", "logo"),
        "notes.txt": (2, "text/plain", "attachment", None),
        "attachment-4.csv": (0, "text/csv", "attachment", None),
    }
    assert len({one["id"] for one in files.values()}) == 4
    assert all(datetime.fromisoformat(one["expires_at"]).timestamp() > server.clock.now() for one in files.values())


def test_one_file_reads_as_in_the_list(server: ApiServer, email: str) -> None:
    """Its id is stable."""
    for one in listed(server, email):
        response = server.get(f"/emails/{email}/attachments/{one['id']}")
        shown = response.json()
        assert (response.status_code, shown.pop("object")) == (200, "attachment")
        assert shown | {"expires_at": ""} == one | {"expires_at": ""}


def test_a_download_is_byte_true(server: ApiServer, email: str) -> None:
    """As an attachment: a browser never renders it."""
    by_name = {one["filename"]: download(server, one) for one in listed(server, email)}
    contents = {name: response.content for name, response in by_name.items()}
    assert contents == {
        "Rechnung März; №1.pdf": PDF,
        "logo.png": b"\x01\x02\x03",
        "notes.txt": b"hi",
        "attachment-4.csv": b"",
    }
    pdf = by_name["Rechnung März; №1.pdf"]
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"] == "attachment; filename*=UTF-8''Rechnung%20M%C3%A4rz%3B%20%E2%84%961.pdf"
    assert pdf.headers["x-content-type-options"] == "nosniff"


def test_head_has_the_size_and_no_body(server: ApiServer, email: str) -> None:
    response = server.client.head(listed(server, email)[0]["download_url"])
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


def test_an_email_without_files_has_an_empty_list(server: ApiServer) -> None:
    """Its text and html are no files."""
    assert listed(server, server.send(html="<p>Hi</p>")) == []


def test_unknown_files_are_404(server: ApiServer, email: str) -> None:
    """422 for a malformed id."""
    one = listed(server, email)[0]["id"]
    for path in (f"{uuid4()}/attachments", f"{email}/attachments/{uuid4()}", f"{uuid4()}/attachments/{one}/content"):
        refused(server.get(f"/emails/{path}"), 404, "not_found")
    refused(server.get("/emails/x/attachments"), 422, "invalid_parameter", "id")
    refused(server.get(f"/emails/{email}/attachments/x"), 422, "invalid_parameter", "attachment_id")


def test_files_need_the_key_of_their_email(server: ApiServer, email: str) -> None:
    """The download, too. Another key's files read as unknown."""
    url = next(one["download_url"] for one in listed(server, email) if one["content_type"] == "application/pdf")
    refused(httpx.get(server.url + url), 401, "missing_api_key")
    refused(server.get(url, key=server.make_key()), 404, "not_found")
    refused(server.get(url, key=server.make_key(Permission.SEND_ONLY)), 401, "restricted_api_key")
    assert server.get(url, key=server.make_key(Permission.FULL_ACCESS)).content == PDF
