"""`postern send`: API key, proxy and URL."""

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
    """HTTP server that records requests and accepts every email."""

    keys: list[str]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.keys.append(self.headers["authorization"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"id": "an-id"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as listening:
        listening.keys = []
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def send(server: Server, *options: str, host: str = "127.0.0.1", **environment: str | None) -> Result:
    """Run the command with the URL of this server."""
    url = f"http://{host}:{server.server_port}"
    return CliRunner().invoke(application, [*EMAIL, "--url", url, *options], env=environment)


def refused(result: Result, code: int, text: str) -> None:
    """Assert one line on standard error without the key."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert "caller" not in result.stderr


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_for_a_local_address(server: Server, name: str, host: str) -> None:
    """A proxy in any environment variable, of any kind, is not used."""
    for proxy in (NOWHERE, "socks5h://127.0.0.1:9", "no-url-at-all"):
        result = send(server, host=host, POSTERN_API_KEY=KEY, **{name: proxy})
        assert (result.exit_code, result.stdout) == (0, "an-id\n"), result.output


def test_a_proxy_of_the_environment_for_other_addresses() -> None:
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
    """Local are this machine, private addresses, and names of a local network."""
    assert is_local(host) is local


@pytest.mark.parametrize("form", ["{}", "{}\n", "{}\r\n", "\ufeff{}"])
def test_sources_of_the_key(server: Server, tmp_path: Path, form: str) -> None:
    """The key is read from the variable, a file, postern.toml and the option, as `postern serve` reads it."""
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
    ("key", "text"),
    [
        ("a-key-of-the-caller-ü", "has a blank or a character outside ASCII"),
        ("a-key of-the-caller", "has a blank or a character outside ASCII"),
        ("a-key\nof-the-caller", "has a line break inside. Give it on one line."),
        ('"a-key-of-the-caller"', "stands between quotation marks. Give it without them."),
        ("a-key-of-the-caller\x1b[0m", "has the invisible character U+001B."),
        ("a-key-of-the-caller\udcff", "is not UTF-8 text."),
    ],
)
def test_an_invalid_key(server: Server, key: str, text: str) -> None:
    """The error names the source of the key."""
    refused(send(server, POSTERN_API_KEY=key), 78, f"POSTERN_API_KEY: {text}")
    refused(send(server, "--key", key), 78, f"--key: {text}")
    assert server.keys == []


def test_no_key(server: Server, tmp_path: Path) -> None:
    """An empty key counts as missing. An empty or missing file is named."""
    refused(send(server, POSTERN_API_KEY=""), 78, "POSTERN_API_KEY: is missing.")
    refused(send(server, "--key", ""), 78, "--key: is empty.")
    (tmp_path / "key").write_text("\n")
    refused(send(server, POSTERN_API_KEY_FILE=str(tmp_path / "key")), 78, "is empty. Put the secret into it.")
    refused(send(server, POSTERN_API_KEY_FILE=str(tmp_path / "none")), 78, "No such file or directory.")


@pytest.mark.parametrize("url", ["http://me:pass-of-a-caller@127.0.0.1:9", "http://[::1", "ftp://127.0.0.1", "http://"])
def test_an_invalid_url(url: str) -> None:
    """The error is one line, without a user name and password."""
    result = CliRunner().invoke(application, [*EMAIL, "--url", url], env={"POSTERN_API_KEY": KEY})
    assert result.exit_code in (69, 78), result.output
    assert result.stderr.startswith("postern: ")
    assert result.stderr.count("\n") == 1
    assert "caller" not in result.stderr
