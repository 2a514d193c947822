"""GET /docs: every operation with its members and samples that run, without a resource of another server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.api.openapi.html import LANGUAGES
from app.store.keys.records import Permission
from tests.contract.api.server import ApiServer
from tests.contract.api.specification import FILE

# Programs that run a sample, by language, and the name of its file.
PROGRAMS = {
    "curl": (["sh"], "sample.sh"),
    "python": ([sys.executable], "sample.py"),
    "node": (["node"], "sample.mjs"),
    "php": (["php"], "sample.php"),
    "csharp": (["dotnet", "run"], "sample.cs"),
    "go": (["go", "run"], "sample.go"),
}
UNTRUSTED = "this server does not trust the gateway, so it does not know the scheme: tests/gateway"


class Page(HTMLParser):
    """Ids, links inside the page, code samples by operation and language, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.samples: dict[tuple[str, str], str] = {}
        self.texts: dict[str, str] = {}
        self._article = self._language = ""
        self._in_pre = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the parser is."""
        found = {name: value or "" for name, value in attrs}
        self.ids += [found["id"]] if "id" in found else []
        if tag == "article":
            self._article = found["id"]
        if found.get("href", "").startswith("#"):
            self.links.add(found["href"][1:])
        if tag == "div" and found.get("class", "") != "code":
            self._language = found.get("class", "").removeprefix("sample ")
        self._in_pre = tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        """A sample ends with its element."""
        self._in_pre = False
        self._article = "" if tag == "article" else self._article

    def handle_data(self, data: str) -> None:
        """Collect the text of an article, and its samples."""
        self.texts[self._article] = self.texts.get(self._article, "") + data
        if self._in_pre and self._language in LANGUAGES:
            self.samples.setdefault((self._article, self._language), data)


@pytest.fixture(scope="module")
def page(server: ApiServer) -> Page:
    """Page as the server sends it."""
    return Page(server.get("/docs").text)


def operations() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield id and operation of the specification, without HEAD."""
    for methods in json.loads(FILE.read_text("utf-8"))["paths"].values():
        yield from ((one["operationId"], one) for method, one in methods.items() if method != "head")


def test_it_loads_its_own_script_and_nothing_else(server: ApiServer) -> None:
    """Its policy forbids scripts in the page, and everything from other servers."""
    answer = server.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert re.findall(r"<script[^>]*>[^<]*", answer.text) == ['<script src="/docs/docs.js" defer>']
    assert not re.search(r"<link|<img|<iframe|<object data|\son[a-z]+=|\sstyle=|@import|url\(", answer.text)
    script = server.get("/docs/docs.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "http" not in re.sub(r"//.*", "", script.text)


def test_it_has_every_operation_and_every_error(page: Page) -> None:
    """Ids are unique, and every link inside the page has a target."""
    assert len(page.ids) == len(set(page.ids))
    assert {id for id, _ in operations()} <= set(page.ids)
    names = json.loads(FILE.read_text("utf-8"))["components"]["schemas"]["ErrorName"]["enum"]
    assert {f"errors-{name}" for name in names} <= set(page.ids)
    assert page.links <= set(page.ids)
    assert "The body is not JSON, or ended early." in page.texts["errors-validation_error"]


def test_members_are_beside_their_operation(page: Page) -> None:
    """Of bodies and answers, at any depth."""
    sending, reading = page.texts["sendEmail"], page.texts["getEmail"]
    assert all(f"\n{member}" in sending for member in ("to", "scheduled_at", "attachments", "content_id", "warnings"))
    assert all(f"\n{member}" in reading for member in ("relay", "attempts", "phase", "in_doubt"))


@pytest.mark.direct(UNTRUSTED)
def test_every_operation_has_a_sample_in_each_language(server: ApiServer, page: Page) -> None:
    """With the address by which the client reaches this server. Samples in Python compile."""
    assert page.samples.keys() == {(id, language) for id, _ in operations() for language in LANGUAGES}
    for (id, language), code in page.samples.items():
        assert f"{server.url}/" in code, (id, language)
        if language == "python":
            compile(code, f"{id}.py", "exec")


@pytest.mark.direct("a gateway has another Host than its client")
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("mail.contoso.com", "http://mail.contoso.com/emails"),
        ("[::1]:8025", "http://[::1]:8025/emails"),
        ('"><script>', "http://127.0.0.1:8025/emails"),
    ],
)
def test_the_address_is_that_of_the_request(server: ApiServer, host: str, shown: str) -> None:
    """Only a Host that can be one is shown."""
    page = server.client.get(f"{server.url}/docs", headers={"host": host})
    assert shown in page.text
    assert "<script>" not in page.text


@pytest.mark.direct(UNTRUSTED)
@pytest.mark.parametrize("operation", ["sendEmail", "listEmails", "createWebhook", "removeSuppression"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_samples_run(server: ApiServer, page: Page, tmp_path: Path, language: str, operation: str) -> None:
    """Each prints the answer of the server, in the languages that are installed."""
    command, name = PROGRAMS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / name).write_text(page.samples[operation, language], "utf-8")
    key = server.make_key(Permission.FULL_ACCESS)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "*", "POSTERN_API_KEY": key}
    done = subprocess.run(
        [*command, name], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    expected = {"sendEmail": '"id"', "listEmails": '"list"', "createWebhook": '"webhook"'}
    assert expected.get(operation, '"not_found"') in done.stdout, done.stdout + done.stderr
