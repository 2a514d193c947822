"""The health checks of the containers use the local address and no proxy."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there
PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), NOWHERE)


def of_the_image() -> list[str]:
    """Return the command of HEALTHCHECK in the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    [command] = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", dockerfile, re.MULTILINE)
    words: list[str] = json.loads(command)
    return words


def of_the_simulator() -> list[str]:
    """Return the command of the health check in docker-compose.yml."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    words: list[str] = compose["x-simulator"]["healthcheck"]["test"]
    assert words.pop(0) == "CMD"
    return words


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


class Server(HTTPServer):
    """HTTP server that answers every request with `status`."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as listening:
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def run(command: list[str], **environment: str) -> int:
    """Return the exit code of the command, with every proxy variable set."""
    assert command[0] == "python"
    given = {**os.environ, **PROXIES, **environment}
    return subprocess.run([sys.executable, *command[1:]], env=given, capture_output=True, check=False).returncode


def test_the_image_checks_its_own_port(server: Server) -> None:
    """No proxy is used. A status other than 200, and no response, are unhealthy."""
    port = str(server.server_port)
    assert run(of_the_image(), POSTERN_PORT=port) == 0
    server.status = 503
    assert run(of_the_image(), POSTERN_PORT=port) == 1
    assert server.paths == ["/healthz"] * 2
    assert run(of_the_image(), POSTERN_PORT="9") == 1


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "no-url"])
def test_no_value_of_a_proxy_matters(server: Server, proxy: str) -> None:
    proxies = {**dict.fromkeys(PROXIES, proxy), "NO_PROXY": "", "no_proxy": ""}
    assert run(of_the_image(), POSTERN_PORT=str(server.server_port), **proxies) == 0


def test_an_empty_port_is_the_default(server: Server) -> None:
    """The default is that of the settings."""
    command = [word.replace("8025", str(server.server_port)) for word in of_the_image()]
    assert run(command, POSTERN_PORT="") == 0


def test_the_simulator_checks_its_control_port(server: Server) -> None:
    """`GET /messages` succeeds."""
    command = [word.replace("8026", str(server.server_port)) for word in of_the_simulator()]
    assert run(command) == 0
    assert server.paths == ["/messages"]
