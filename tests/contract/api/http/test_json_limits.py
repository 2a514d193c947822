"""How many values a JSON body may have, and which encodings of a body are read."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.api.http import strict_json
from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, refused, small

SIZE = 3 * 2**20  # bytes of a body with too many values
PLAIN = json.dumps(MINIMAL).encode()


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server that takes messages of 16 MiB."""
    limits = small(max_body_bytes=16 << 20, max_message_bytes=16 << 20)
    with open_server(tmp_path_factory.mktemp("roomy"), limits=limits) as server:
        yield server


def with_member(text: bytes) -> bytes:
    """The minimal email with an ignored member of this JSON text."""
    return PLAIN[:-1] + b',"ignored":' + text + b"}"


def listed(item: bytes) -> bytes:
    """A JSON list of this item over and over."""
    return b"[" + b",".join([item] * (SIZE // (len(item) + 1))) + b"]"


@pytest.mark.parametrize(
    "item",
    [b"{}", b"[]", b"0.5", b"300", b"257", b"-1", b"1e3", b"99999", b'"ab"', b'""', b'{"a":1}', b"[{}]", b"true"],
)
def test_too_many_values(roomy: ApiServer, item: bytes) -> None:
    """413 before objects are made of them, wherever they stand."""
    told = refused(roomy.post(with_member(listed(item))), 413, "validation_error")
    assert told["reason"] == "too_many_values"
    refused(roomy.post(listed(item)), 413, "validation_error")
    for path in ("/emails/validate", "/emails/batch", "/email"):
        assert roomy.post(with_member(listed(item)), path=path).status_code in (401, 413)


@pytest.mark.parametrize("item", [b"{},", b'[,{"\\"', b"1.5e3,", b"\\\\", b'\\"', b"\\u00e4[", b"999,"])
def test_what_stands_in_a_text_is_no_value(roomy: ApiServer, item: bytes) -> None:
    """However large the text is, and whatever is escaped in it."""
    text = json.dumps(json.loads(b'"%s"' % (b"" if b'"' in item else item * (SIZE // len(item))))).encode()
    accepted(roomy.post(with_member(text)))
    accepted(roomy.post(changed(text=item.decode() * (SIZE // len(item)))))


@pytest.mark.parametrize("in_buffer", [False, True])
def test_a_file_as_numbers(roomy: ApiServer, in_buffer: bool) -> None:
    """As a list or as Node's Buffer: of any bytes, as many as a body holds."""
    content = random.Random(1).randbytes(2_000_000)
    numbers: Any = {"type": "Buffer", "data": [*content]} if in_buffer else [*content]
    id_ = accepted(roomy.post(changed(attachments=[{"filename": "a.bin", "content": numbers}])))
    (part,) = roomy.message(id_).iter_attachments()
    assert part.get_content() == content


def test_many_emails_with_many_recipients(roomy: ApiServer) -> None:
    """A whole batch of 100 emails with 150 recipients each is below the bounds."""
    some = [f"recipient-{n}@example.com" for n in range(50)]
    email = changed(to=some, cc=some, bcc=some, tags=[{"name": f"t{n}", "value": "v"} for n in range(20)])
    assert roomy.post([email] * 100, path="/emails/batch").status_code == 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"a":[{},'])
def test_deep_and_many(roomy: ApiServer, opening: bytes) -> None:
    """What is too deep is 400, also where it would be too many values."""
    refused(roomy.post(opening * (SIZE // len(opening))), 400, "validation_error")


def test_a_byte_order_mark_is_skipped(server: ApiServer) -> None:
    """In front of one email and of a batch, but only one."""
    mark = b"\xef\xbb\xbf"
    accepted(server.post(mark + PLAIN))
    assert server.post(mark + b"[" + PLAIN + b"]", path="/emails/batch").status_code == 200
    refused(server.post(mark + mark + PLAIN), 400, "validation_error")
    refused(server.post(mark), 400, "validation_error")


@pytest.mark.parametrize("name", ["UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "UTF-32-LE", "UTF-32-BE"])
def test_another_encoding_is_named(server: ApiServer, name: str) -> None:
    """With a byte order mark and without, whatever the Content-Type says."""
    body = json.dumps(MINIMAL).encode(name)
    for content_type in ("application/json", f"application/json; charset={name.lower()}"):
        told = refused(server.post(body, Content_Type=content_type), 400, "validation_error")
        assert name[:6] in told["message"]
        assert "UTF-8" in told["message"]


@pytest.mark.parametrize("path", ["/emails", "/emails/batch", "/emails/validate"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "x-gzip", "gzip, identity", "zstd"])
def test_a_compressed_body_is_refused_by_its_header(server: ApiServer, path: str, coding: str) -> None:
    """415, whether the body is compressed or not."""
    for body in (PLAIN, gzip.compress(PLAIN), zlib.compress(PLAIN)):
        told = refused(server.post(body, path=path, Content_Encoding=coding), 415, "validation_error")
        assert f"Content-Encoding: {coding}" in told["message"]
        assert told["reason"] == "unsupported_encoding"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_identity_is_no_coding(server: ApiServer, coding: str) -> None:
    """It is taken as it is."""
    accepted(server.post(PLAIN, Content_Encoding=coding))


@pytest.mark.direct("a gateway reads transfer codings itself")
def test_a_transfer_coding_is_refused_by_its_header(server: ApiServer) -> None:
    """Chunked is the only one that is read."""
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PLAIN), PLAIN)
    head = f"POST /emails HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n".encode()
    told = refused(server.raw(head + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk), 415, "validation_error")
    assert "Transfer-Encoding: gzip, chunked" in told["message"]
    accepted(server.raw(head + b"Transfer-Encoding: Chunked\r\n\r\n" + chunk))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"from=a%40contoso.com&to=b%40example.com", "form (name=value)"),
        (b"to[]=b%40example.com", "form (name=value)"),
        (b'--x\r\nContent-Disposition: form-data; name="to"\r\n\r\nb@example.com\r\n--x--\r\n', "multipart"),
        (gzip.compress(PLAIN, mtime=0), "compressed"),
        (zlib.compress(PLAIN), "compressed"),
        (b"<email/>", "JSON"),
    ],
)
def test_what_is_no_json_is_told_what_to_send(server: ApiServer, body: bytes, word: str) -> None:
    """In plain words, and JSON is named."""
    told = refused(server.post(body), 400, "validation_error")
    assert word in told["message"]
    assert "uncompressed" in told["message"] or "JSON" in told["message"]


@pytest.mark.parametrize(
    "value",
    [
        {}, [], "", "x", 1, None, True, {"a": []}, {"b": {}, "a": [1, 2.5, -0.0, True, None, "x"]}, {"é": 1, '"': 2},
        ["é" * 70_000, "\u2028\ud7ff😀" * 30_000], [1] * 140_000, [*[1] * 70_000, "a", {"z": 1, "a": [[]]}, 0.5],
    ],
)  # fmt: skip
def test_the_canonical_digest(value: Any) -> None:
    """Is that of the whole text, though a large text is never made: keys of an earlier version have to fit."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert strict_json.canonical_digest(value) == sha256(text.encode()).digest()


def test_half_a_surrogate_pair_deep_in_a_large_body(tmp_path: Path) -> None:
    """The place in the answer is cut: it is a sentence, however long the names of members are."""
    name = "n" * 1_000_000
    body = json.dumps({name: {name: {name: "x"}}}).encode().replace(b'"x"', b'"\\ud800"')
    with open_server(tmp_path) as server:
        assert len(server.post(body).content) < 2000
