"""What all share in one run: a folder on the real disk, the sink, the callers. Ends everything that was started."""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import trustme

from tests import postgres
from tests.bench.processes import Process, UnavailableError, uninterrupted

CACHE = Path.home() / ".cache" / "postern-bench"  # not under /tmp, which may be memory
MAILBOX, PASSWORD, RECIPIENT = "noreply@contoso.com", "a-password-for-the-bench", "ada@example.net"
CLIENTS = 32
BODY_OCTETS = 2048
CONTENT_OCTETS = 4096
_QUIET = 10.0  # seconds without a mail after which the sink gives up
_START = 30.0
_LIMIT = 180.0  # seconds for any one measurement


class Stage:
    """A context manager; what is started on it ends with it, the last first."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._stack.close()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, silent: bool = False
    ) -> Process:
        """A child that ends with the stage; `silent` throws its standard error away."""
        errors = None if silent else self.folder / f"{name.replace(' ', '-').replace('/', '-')}.log"
        with uninterrupted():
            return self._stack.enter_context(Process(name, command, environment, errors))

    @cached_property
    def python(self) -> str:
        """The interpreter of this run."""
        return sys.executable

    @cached_property
    def sink(self) -> "Sink":
        """The one upstream of everybody."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        chain = self.folder / "sink.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
        return Sink(self.start("the sink", [self.python, "-m", "tests.bench.sink", str(chain)], {}))

    @cached_property
    def postgres(self) -> postgres.Server:
        """A server of the run's own. Raises Unavailable."""
        if (programs := postgres.programs()) is None:
            raise UnavailableError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        return self._stack.enter_context(postgres.running(programs))

    @property
    def ca_file(self) -> Path:
        """The authority that everybody trusts."""
        return self.folder / "ca.pem"

    @cached_property
    def callers(self) -> "Callers":
        """The one source of requests."""
        return Callers(self.start("the callers", [self.python, "-m", "tests.bench.load"], {}))

    @cached_property
    def upstream(self) -> dict[str, str]:
        """How to relay, for the environment of a peer."""
        return {
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(self.sink.port),
            "SMTP_CA_FILE": str(self.ca_file),
            "SMTP_USER": MAILBOX,
            "SMTP_PASSWORD": PASSWORD,
        }

    @cached_property
    def content(self) -> dict[str, str]:
        """A finished message of 4 KiB and its envelope, for the environment of who relays only."""
        head = f"From: {MAILBOX}\r\nTo: {RECIPIENT}\r\nSubject: Bench\r\nMIME-Version: 1.0\r\n\r\n"
        line = "Seventy octets of text, so that a line is about as long as mail has it.\r\n"
        text = (head + line * (CONTENT_OCTETS // len(line)))[: CONTENT_OCTETS - 2].rstrip("\r\n") + "\r\n"
        path = self.folder / "message.eml"
        path.write_bytes(text.encode())
        return {"CONTENT_FILE": str(path), "MAIL_FROM": MAILBOX, "RCPT_TO": RECIPIENT}


class Sink:
    """The sink's process as the bench sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.port: int = process.hear(_START)["port"]

    def expect(self, count: int, *, delay: float = 0.0, arrivals: bool = False) -> None:
        """Count from zero to `count`. `delay`: round-trip time in seconds. `arrivals`: record when each arrives."""
        self._process.say({"expect": count, "quiet": _QUIET, "delay": delay, "arrivals": arrivals})

    def seen(self) -> dict[str, Any]:
        """The sink's answer (see tests.bench.sink), when all have arrived or none arrives any more."""
        answer: dict[str, Any] = self._process.hear(_LIMIT)
        return answer


class Callers:
    """The callers' process as the bench sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        process.hear(_START)

    def post(self, port: int, headers: Mapping[str, str], count: int) -> dict[str, Any]:
        """Post `count` emails of 2 KiB from 32 connections; tests.bench.load.Result as a dict."""
        order = {
            "port": port,
            "path": "/emails",
            "headers": dict(headers),
            "body": body(),
            "count": count,
            "clients": CLIENTS,
            "seconds": _LIMIT,
        }
        self._process.say(order)
        answer: dict[str, Any] = self._process.hear(_LIMIT + _START)
        if answer["refused"] or answer["accepted"] != count:
            raise UnavailableError(
                f"of {count} requests {answer['accepted']} were accepted, {answer['refused']} refused"
            )
        return answer


def body() -> str:
    """The JSON of one email: 2 KiB, text and HTML."""
    email = {"from": MAILBOX, "to": RECIPIENT, "subject": "Your receipt for order 1815", "html": "", "text": ""}
    line = "<p>Thank you for your order. It is on its way, and will be there soon.</p>"
    while len(json.dumps(email)) + 3 * len(line) < BODY_OCTETS:
        email["html"] += f"{line}\n{line}\n"
        email["text"] += f"{line[3:-4]}\n"
    return json.dumps(email).ljust(BODY_OCTETS)
