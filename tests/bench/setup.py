"""Shared parts of one run: a folder on the real disk, the sink, the callers. Ends everything that was started."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, cast

import trustme

from tests import postgres
from tests.bench.processes import Process, UnavailableError, uninterrupted

CACHE = Path.home() / ".cache" / "postern-bench"  # not under /tmp, which may be memory
MAILBOX, PASSWORD, RECIPIENT = "noreply@contoso.com", "a-password-for-the-bench", "ada@example.net"
CONNECTIONS = 3  # sessions to the mail server, of every contestant
CLIENTS = 32
BODY_BYTES = 2048
CONTENT_BYTES = 4096
_QUIET = 10.0  # seconds without a mail after which the sink gives up
_START = 30.0
_LIMIT = 180.0  # seconds for any one measurement

T = TypeVar("T")
P = ParamSpec("P")


class Stage:
    """A context manager; what is started on it ends with it, the last first."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._shared: dict[object, object] = {}
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

    def inner(self) -> "Stage":
        """A stage that ends earlier, for what is started again in each round; it has this one's sink and callers."""
        return _Inner(self)

    def defer(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call it when the stage ends."""
        self._stack.callback(function, *args, **kwargs)

    def shared(self, make: "Callable[[Stage], T]") -> T:
        """Return what `make` starts, started once in a run."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast("T", self._shared[make])

    @cached_property
    def python(self) -> str:
        """The interpreter of this run."""
        return sys.executable

    @cached_property
    def sink(self) -> "Sink":
        """Upstream server that all contestants share."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        chain = self.folder / "sink.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
        return Sink(self.start("the sink", [self.python, "-m", "tests.bench.programs.sink", str(chain)], {}))

    @cached_property
    def postgres(self) -> postgres.Server:
        """A server of the run's own. Raises Unavailable."""
        if (programs := postgres.programs()) is None:
            raise UnavailableError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        return self._stack.enter_context(postgres.running(programs))

    @property
    def ca_file(self) -> Path:
        """Certificate authority that all contestants trust."""
        return self.folder / "ca.pem"

    @cached_property
    def callers(self) -> "Callers":
        """The one source of requests."""
        return Callers(self.start("the callers", [self.python, "-m", "tests.bench.programs.load"], {}))

    @cached_property
    def upstream(self) -> dict[str, str]:
        """Environment of a peer: upstream and credentials."""
        return {
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(self.sink.port),
            "SMTP_CA_FILE": str(self.ca_file),
            "SMTP_USER": MAILBOX,
            "SMTP_PASSWORD": PASSWORD,
        }

    @cached_property
    def envelope(self) -> dict[str, str]:
        """Sender and recipient, for the environment of a program that only relays."""
        return {"MAIL_FROM": MAILBOX, "RCPT_TO": RECIPIENT}

    def content(self, size: int) -> str:
        """Path of a finished message of about `size` bytes, without a line that begins with a dot."""
        path = self.folder / f"message-{size}.eml"
        if not path.exists():
            head = f"From: {MAILBOX}\r\nTo: {RECIPIENT}\r\nSubject: Bench\r\nMIME-Version: 1.0\r\n\r\n"
            line = "Seventy bytes of text, so that a line is about as long as mail has it.\r\n"
            path.write_text(head + line * ((size - len(head)) // len(line)), newline="")
        return str(path)


class _Inner(Stage):
    """A stage within another one."""

    def __init__(self, outer: Stage) -> None:
        self._outer = outer

    def __enter__(self) -> Self:
        self.sink, self.callers = self._outer.sink, self._outer.callers  # started by the outer one
        return super().__enter__()

    @property
    def ca_file(self) -> Path:
        """The authority of the sink."""
        return self._outer.ca_file


class Sink:
    """The sink's process as the bench sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._order = 0
        self.port: int = process.hear(_START)["port"]

    def expect(self, count: int, *, delay: float = 0.0, arrivals: bool = False) -> None:
        """Count from zero to `count`. `delay`: round-trip time in seconds. `arrivals`: record when each arrives."""
        self._order += 1
        self._process.say(
            {"order": self._order, "expect": count, "quiet": _QUIET, "delay": delay, "arrivals": arrivals}
        )

    def drain(self) -> None:
        """Wait until nothing arrives any more, after a measurement that was abandoned."""
        self.expect(1_000_000_000)
        self.seen()

    def seen(self) -> dict[str, Any]:
        """The sink's answer (see tests.bench.programs.sink), when all have arrived or none arrives any more."""
        while True:  # an order that was abandoned is answered, too
            answer: dict[str, Any] = self._process.hear(_LIMIT)
            if answer["order"] == self._order:
                return answer


class Callers:
    """The callers' process as the bench sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        process.hear(_START)

    def post(
        self,
        port: int,
        headers: Mapping[str, str],
        count: int,
        *,
        body: str | None = None,
        clients: int = CLIENTS,
        rate: float | None = None,
        retry: bool = False,
    ) -> dict[str, Any]:
        """Post `count` emails, by default of 2 KiB, from so many connections; tests.bench.programs.load.Result."""
        order = {
            "port": port,
            "path": "/emails",
            "headers": dict(headers),
            "body": body or email(),
            "count": count,
            "clients": clients,
            "seconds": _LIMIT,
            "rate": rate,
            "retry": retry,
        }
        self._process.say(order)
        answer: dict[str, Any] = self._process.hear(_LIMIT + _START)
        if (answer["refused"] and not retry) or answer["accepted"] != count:
            raise UnavailableError(
                f"of {count} requests {answer['accepted']} were accepted, {answer['refused']} refused"
            )
        return answer


def email(number: str = "1815", **members: Any) -> str:
    """The JSON of one email: 2 KiB, text and HTML, and `members`."""
    email = {"from": MAILBOX, "to": RECIPIENT, "subject": f"Your receipt for order {number}", "html": "", "text": ""}
    line = "<p>Thank you for your order. It is on its way, and will be there soon.</p>"
    while len(json.dumps(email)) + 3 * len(line) < BODY_BYTES:
        email["html"] += f"{line}\n{line}\n"
        email["text"] += f"{line[3:-4]}\n"
    return json.dumps({**email, **members}).ljust(BODY_BYTES)
