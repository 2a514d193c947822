"""`postern send`: which key it takes, from where, and whom it asks."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from app.cli import application
from app.cli.send import is_local

KEY = "a-key-of-the-caller"
EMAIL = ("send", "ada@example.net", "--from", "noreply@contoso.com")
NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Server(HTTPServer):
    """A Postern, as far as a caller knows it."""

    keys: list[str]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.keys.append(self.headers["authorization"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"id": "an-id"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as listening:
        listening.keys = []
        thread = Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def send(server: Server, *options: str, host: str = "127.0.0.1", **environment: str | None) -> Result:
    """The command against this server."""
    url = f"http://{host}:{server.server_port}"
    return CliRunner().invoke(application, [*EMAIL, "--url", url, *options], env=environment)


def refused(result: Result, code: int, says: str) -> None:
    """One sentence, without the key."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "caller" not in result.stderr


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_a_local_address(server: Server, name: str, host: str) -> None:
    """Whichever variable names it, and whatever kind it is."""
    for proxy in (NOWHERE, "socks5h://127.0.0.1:9", "no-url-at-all"):
        result = send(server, host=host, POSTERN_API_KEY=KEY, **{name: proxy})
        assert (result.exit_code, result.stdout) == (0, "an-id\n"), result.output


def test_other_addresses_are_asked_for_as_the_environment_says() -> None:
    """A proxy that cannot be used is one line."""
    for proxy in (NOWHERE, "socks5h://127.0.0.1:9", "no-url-at-all"):
        environment = {"POSTERN_API_KEY": KEY, "HTTP_PROXY": proxy, "http_proxy": proxy}
        result = CliRunner().invoke(application, [*EMAIL, "--url", "http://relay.contoso.com"], env=environment)
        assert result.exit_code in (69, 78), result.output
        assert result.stderr.startswith("postern: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("192.168.0.9", True),
        ("fd00::1", True),
        ("localhost", True),
        ("localhost.", True),
        ("postern", True),
        ("postern.mail.svc.cluster.local", True),
        ("relay.contoso.com", False),
        ("20.190.128.1", False),
        ("2603:1020::1", False),
    ],
)
def test_what_is_local(host: str, local: bool) -> None:
    """This machine, its network's addresses, and names that only this network knows."""
    assert is_local(host) is local


@pytest.mark.parametrize("form", ["{}", "{}\n", "{}\r\n", "\ufeff{}"])
def test_a_key_is_read_as_it_is_meant(server: Server, tmp_path: Path, form: str) -> None:
    """From the variable, from a file, from postern.toml, and from the option: as `postern serve` reads it."""
    (tmp_path / "key").write_bytes(form.format(KEY).encode())
    (toml := tmp_path / "postern.toml").write_text(f'api_key_file = "{tmp_path / "key"}"\n')
    for options, environment in (
        ((), {"POSTERN_API_KEY": form.format(KEY)}),
        ((), {"POSTERN_API_KEY_FILE": str(tmp_path / "key"), "POSTERN_API_KEY": ""}),
        ((), {"POSTERN_CONFIG": str(toml)}),
        (("--key", form.format(KEY)), {}),
    ):
        result = send(server, *options, **environment)
        assert (result.exit_code, result.stdout) == (0, "an-id\n"), result.output
    assert server.keys == [f"Bearer {KEY}"] * 4


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("a-key-of-the-caller-ü", "has a blank or a character outside ASCII"),
        ("a-key of-the-caller", "has a blank or a character outside ASCII"),
        ("a-key\nof-the-caller", "has a line break inside. Give it on one line."),
        ('"a-key-of-the-caller"', "stands between quotation marks. Give it without them."),
        ("a-key-of-the-caller\x1b[0m", "has the invisible character U+001B."),
        ("a-key-of-the-caller\udcff", "is not UTF-8 text."),
    ],
)
def test_a_key_that_cannot_be_one_is_a_sentence(server: Server, key: str, says: str) -> None:
    """Which names where it came from."""
    refused(send(server, POSTERN_API_KEY=key), 78, f"POSTERN_API_KEY: {says}")
    refused(send(server, "--key", key), 78, f"--key: {says}")
    assert server.keys == []


def test_no_key_at_all(server: Server, tmp_path: Path) -> None:
    """Empty is none; a file that is empty, or not there, is named."""
    refused(send(server, POSTERN_API_KEY=""), 78, "POSTERN_API_KEY: is missing.")
    refused(send(server, "--key", ""), 78, "--key: is empty.")
    (tmp_path / "key").write_text("\n")
    refused(send(server, POSTERN_API_KEY_FILE=str(tmp_path / "key")), 78, "is empty. Put the secret into it.")
    refused(send(server, POSTERN_API_KEY_FILE=str(tmp_path / "none")), 78, "No such file or directory.")


@pytest.mark.parametrize("url", ["http://me:pass-of-a-caller@127.0.0.1:9", "http://[::1", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    """One line, without what may be a password."""
    result = CliRunner().invoke(application, [*EMAIL, "--url", url], env={"POSTERN_API_KEY": KEY})
    assert result.exit_code in (69, 78), result.output
    assert result.stderr.startswith("postern: ")
    assert result.stderr.count("\n") == 1
    assert "caller" not in result.stderr
