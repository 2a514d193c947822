"""Limits on the number of values in a JSON body, and accepted encodings of a body."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.api.http.body import canonical_digest
from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, refused, small

SIZE = 3 * 2**20  # bytes of a body with too many values
PLAIN = json.dumps(MINIMAL).encode()


@pytest.fixture(scope="module")
def large_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server that accepts messages of 16 MiB."""
    limits = small(max_body_bytes=16 << 20, max_message_bytes=16 << 20)
    with open_server(tmp_path_factory.mktemp("roomy"), limits=limits) as server:
        yield server


def with_member(text: bytes) -> bytes:
    """Return the minimal email with an ignored member of this JSON text."""
    return PLAIN[:-1] + b',"ignored":' + text + b"}"


def listed(item: bytes) -> bytes:
    """Return a JSON list that repeats this item."""
    return b"[" + b",".join([item] * (SIZE // (len(item) + 1))) + b"]"


@pytest.mark.parametrize(
    "item",
    [b"{}", b"[]", b"0.5", b"300", b"257", b"-1", b"1e3", b"99999", b'"ab"', b'""', b'{"a":1}', b"[{}]", b"true"],
)
def test_too_many_values_are_413_before_parsing(large_server: ApiServer, item: bytes) -> None:
    """At every place in the body."""
    error = refused(large_server.post(with_member(listed(item))), 413, "validation_error")
    assert error["reason"] == "too_many_values"
    refused(large_server.post(listed(item)), 413, "validation_error")
    for path in ("/emails/validate", "/emails/batch", "/email"):
        assert large_server.post(with_member(listed(item)), path=path).status_code in (401, 413)


@pytest.mark.parametrize("item", [b"{},", b'[,{"\\"', b"1.5e3,", b"\\\\", b'\\"', b"\\u00e4[", b"999,"])
def test_brackets_and_commas_in_strings_do_not_count(large_server: ApiServer, item: bytes) -> None:
    """In strings of any size and with escapes."""
    text = json.dumps(json.loads(b'"%s"' % (b"" if b'"' in item else item * (SIZE // len(item))))).encode()
    accepted(large_server.post(with_member(text)))
    accepted(large_server.post(changed(text=item.decode() * (SIZE // len(item)))))


@pytest.mark.parametrize("in_buffer", [False, True])
def test_a_file_as_numbers_is_not_limited_by_its_values(large_server: ApiServer, in_buffer: bool) -> None:
    """A list or Node's Buffer, up to the size of a body."""
    content = random.Random(1).randbytes(2_000_000)
    numbers: Any = {"type": "Buffer", "data": [*content]} if in_buffer else [*content]
    id_ = accepted(large_server.post(changed(attachments=[{"filename": "a.bin", "content": numbers}])))
    (part,) = large_server.message(id_).iter_attachments()
    assert part.get_content() == content


def test_the_largest_batch_is_within_the_limits(large_server: ApiServer) -> None:
    """100 emails with 150 recipients each."""
    some = [f"recipient-{n}@example.com" for n in range(50)]
    email = changed(to=some, cc=some, bcc=some, tags=[{"name": f"t{n}", "value": "v"} for n in range(20)])
    assert large_server.post([email] * 100, path="/emails/batch").status_code == 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"a":[{},'])
def test_too_deep_is_400_even_with_too_many_values(large_server: ApiServer, opening: bytes) -> None:
    refused(large_server.post(opening * (SIZE // len(opening))), 400, "validation_error")


def test_a_byte_order_mark_is_skipped(server: ApiServer) -> None:
    """In front of one email, of one to validate and of a batch, but only one."""
    mark = b"\xef\xbb\xbf"
    accepted(server.post(mark + PLAIN))
    assert server.post(mark + PLAIN, path="/emails/validate").status_code == 200
    assert server.post(mark + b"[" + PLAIN + b"]", path="/emails/batch").status_code == 200
    refused(server.post(mark + mark + PLAIN), 400, "validation_error")
    refused(server.post(mark), 400, "validation_error")


@pytest.mark.parametrize("name", ["UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "UTF-32-LE", "UTF-32-BE"])
def test_another_encoding_is_reported(server: ApiServer, name: str) -> None:
    """With and without a byte order mark, whatever Content-Type says."""
    body = json.dumps(MINIMAL).encode(name)
    for content_type in ("application/json", f"application/json; charset={name.lower()}"):
        error = refused(server.post(body, Content_Type=content_type), 400, "validation_error")
        assert name[:6] in error["message"]
        assert "UTF-8" in error["message"]


@pytest.mark.parametrize("path", ["/emails", "/emails/batch", "/emails/validate"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "x-gzip", "gzip, identity", "zstd"])
def test_a_compressed_body_is_refused_by_its_header(server: ApiServer, path: str, coding: str) -> None:
    """415, whether the body is compressed or not."""
    for body in (PLAIN, gzip.compress(PLAIN), zlib.compress(PLAIN)):
        error = refused(server.post(body, path=path, Content_Encoding=coding), 415, "validation_error")
        assert f"Content-Encoding: {coding}" in error["message"]
        assert error["reason"] == "unsupported_encoding"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_the_identity_coding_is_accepted(server: ApiServer, coding: str) -> None:
    accepted(server.post(PLAIN, Content_Encoding=coding))


@pytest.mark.direct("a gateway reads transfer codings itself")
def test_a_transfer_coding_other_than_chunked_is_refused(server: ApiServer) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PLAIN), PLAIN)
    head = f"POST /emails HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n".encode()
    error = refused(server.raw(head + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk), 415, "validation_error")
    assert "Transfer-Encoding: gzip, chunked" in error["message"]
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
def test_a_body_that_is_no_json_gets_a_plain_error(server: ApiServer, body: bytes, word: str) -> None:
    """It names JSON."""
    error = refused(server.post(body), 400, "validation_error")
    assert word in error["message"]
    assert "uncompressed" in error["message"] or "JSON" in error["message"]


@pytest.mark.parametrize(
    "value",
    [
        {}, [], "", "x", 1, None, True, {"a": []}, {"b": {}, "a": [1, 2.5, -0.0, True, None, "x"]}, {"é": 1, '"': 2},
        ["é" * 70_000, "\u2028\ud7ff😀" * 30_000], [1] * 140_000, [*[1] * 70_000, "a", {"z": 1, "a": [[]]}, 0.5],
    ],
)  # fmt: skip
def test_the_canonical_digest_equals_that_of_the_whole_text(value: Any) -> None:
    """A large text is never built; digests of earlier versions must match."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert canonical_digest(value) == sha256(text.encode()).digest()


def test_a_lone_surrogate_deep_in_a_large_body_is_reported(tmp_path: Path) -> None:
    """Its path is shortened, however long the names of members are."""
    name = "n" * 1_000_000
    body = json.dumps({name: {name: {name: "x"}}}).encode().replace(b'"x"', b'"\\ud800"')
    with open_server(tmp_path) as server:
        assert len(server.post(body).content) < 2000
