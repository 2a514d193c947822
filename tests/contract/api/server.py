"""Server on a real socket with a real store, in its own thread, and clients for it.

With GATEWAY=nginx or GATEWAY=caddy in the environment all ways lead through that gateway (tests/gateway).
"""

import asyncio
import email.policy
import http.client
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest
import uvloop

from app import metrics
from app.api.app import create_app
from app.api.auth.authenticator import digest, new_key
from app.api.context import ApiContext, RequestLimits
from app.api.problems.problem import ErrorName
from app.api.problems.transport import transport_responses
from app.clock import Clock
from app.http_server.server import HttpServer, ServerLimits
from app.mail.credential_expiry import CredentialExpiry
from app.mail.key_policy import Policy
from app.mail.message.address import Address
from app.mail.office365.limits import MailboxLimits
from app.mail.readiness import DeepCheck, Readiness, Reason
from app.store import Store
from app.store.keys.records import Key, Permission
from tests.gateway.gateways import Gateway, gateway, requested
from tests.states import count_states
from tests.waiting import WAIT_TIMEOUT, until

T = TypeVar("T")
Json = dict[str, Any]

SENDER = "noreply@contoso.com"
INSIDE = ("/healthz", "/readyz", "/metrics")  # what no gateway passes on
NUL = pytest.mark.direct("it refuses a NUL in a path by itself: tests/gateway", "nginx")
LIMITS = RequestLimits(
    max_body_bytes=4 << 20, max_message_bytes=1 << 20, max_bytes_in_flight=64 << 20, attempts_per_minute=1_000_000
)
MINIMAL: Json = {"from": SENDER, "to": "anna@example.com", "subject": "Hello", "text": "Hi Anna"}


@dataclass
class ApiServer:
    """Running server. `reasons` and `draining` are those of its readiness."""

    database: Path
    limits: RequestLimits
    clock: Clock
    draining: bool = False
    reasons: list[Reason] = field(default_factory=list)
    root_path: str = ""
    forwarders: tuple[str, ...] = ()
    gateway: Gateway | None = None
    capacities: dict[str, MailboxLimits] = field(default_factory=dict)
    endings: dict[str, Callable[[], CredentialExpiry | None]] = field(default_factory=dict)
    port: int = 0
    bounds: ServerLimits = field(kw_only=True)

    def start(self) -> None:
        """Serve until `stop`."""
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), name="api-server")
        self._thread.start()
        assert self._running.wait(WAIT_TIMEOUT)
        self._before = ExitStack()
        if kind := requested():
            self.gateway = self._before.enter_context(gateway(kind, self.port))
            self.url = self.gateway.url
        self.key = self.make_key()
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=WAIT_TIMEOUT
        )

    def stop(self) -> None:
        """Stop as at SIGTERM, and wait for the end."""
        self.client.close()
        self._before.close()
        self.begin_to_stop()
        self._thread.join(WAIT_TIMEOUT)

    def begin_to_stop(self, drain: int = 10) -> None:
        """Begin a stop as at SIGTERM, with this many seconds for running requests. No effect once it has ended."""
        self._listener._server.config.timeout_graceful_shutdown = drain
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.store = await Store.open(f"sqlite:///{self.database}")
        app = create_app(self._context())
        self._listener = listener = HttpServer(app, "127.0.0.1", 0, limits=self.bounds, forwarders=self.forwarders)
        await listener.start()
        self.url, self.port = listener.url, listener.port
        self._running.set()
        await self._stopping.wait()
        await listener.stop()
        await app.close()
        await self.store.close()

    def _context(self) -> ApiContext:
        return ApiContext(
            store=self.store,
            clock=self.clock,
            route=self._route,
            default_sender=None,
            capacities=self.capacities,
            credential_expiries=self.endings,
            limits=self.limits,
            readiness=self._ready,
            deep_check=self._examine,
            draining=lambda: self.draining,
            metrics_text=self._counted,
            root_path=self.root_path,
        )

    def _route(self, sender: Address) -> str | None:
        if sender.local == "crash":
            raise RuntimeError("a bug of ours")
        return "main" if sender.domain == "contoso.com" else None

    async def _ready(self) -> Readiness:
        return Readiness(tuple(self.reasons), relaying=not any(reason.mailbox for reason in self.reasons))

    async def _counted(self) -> bytes:
        return metrics.expose()

    async def _examine(self) -> DeepCheck:
        return DeepCheck(self.clock.now(), (), ())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the store on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def application(self) -> Any:
        """Return a second ASGI application over the same store, for its loop (`run`)."""
        return create_app(self._context())

    def routes(self) -> dict[str, set[str]]:
        """Return the methods of every path."""
        found: dict[str, set[str]] = defaultdict(set)
        middleware: Any = self.application()
        for route in middleware._app.routes:
            found[route.path_format] |= route.methods
        return found

    def make_key(self, permission: Permission = Permission.SENDING_ACCESS, **policy: Any) -> str:
        """Create an API key with this policy."""
        secret = new_key()
        key = Key(uuid4(), f"key of {permission}", permission, self.clock.now(), Policy(**policy))
        self.run(self.store.create_key(key, digest(secret)))
        return secret

    def post(self, body: Any = None, path: str = "/emails", key: str | None = None, **headers: str) -> httpx.Response:
        """POST as JSON (bytes as they are); `Idempotency_Key="x"` adds a header."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers=given | _bearer(key))

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        """GET a path."""
        return self.client.get(path, headers=_bearer(key))

    def inside(self, path: str, method: str = "GET") -> httpx.Response:
        """Send an internal request: without a key, and bypassing any gateway."""
        return httpx.request(method, f"{self.direct}{path}", timeout=WAIT_TIMEOUT)

    @property
    def direct(self) -> str:
        """Return the URL of the server itself, bypassing any gateway."""
        return f"http://127.0.0.1:{self.port}"

    def send(self, **changes: Any) -> str:
        """POST a minimal email with changes; it must succeed. None is sent as null, `...` removes the member."""
        response = self.post(changed(**changes))
        assert response.status_code == 200, response.text
        return accepted(response)

    def message(self, id_: str) -> EmailMessage:
        """Return the stored message, parsed by the standard library."""
        content = self.run(self.store.content(UUID(id_)))
        assert content is not None
        return email.message_from_bytes(content, policy=email.policy.default)

    def count(self) -> int:
        """Return the number of stored messages."""
        return sum(self.run(count_states(self.store)).values())

    def clients(self, most: int) -> None:
        """Wait until there are at most this many connections."""

        async def few() -> None:
            await until(lambda: len(self._listener._server.server_state.connections) <= most)

        self.run(few())

    def raw(self, data: bytes) -> httpx.Response:
        """Write these bytes to a new connection and read one response."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_response(connection)

    def connect(self) -> socket.socket:
        """Open a connection."""
        if self.gateway is not None:
            return self.gateway.connect()
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_TIMEOUT)


def _bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


@contextmanager
def open_server(
    folder: Path,
    *,
    limits: RequestLimits = LIMITS,
    clock: Clock | None = None,
    root_path: str = "",
    forwarders: tuple[str, ...] = (),
    **bounds: Any,
) -> Iterator[ApiServer]:
    """Run a server over the database in this folder, which outlives it. `bounds`: changes of its `ServerLimits`."""
    server = ApiServer(folder / "postern.db", limits, clock or Clock(), root_path=root_path, forwarders=forwarders,
                bounds=ServerLimits(responses=transport_responses(), **bounds))  # fmt: skip
    server.start()
    try:
        yield server
    finally:
        server.stop()


def read_response(connection: socket.socket) -> httpx.Response:
    """Return the next response on the connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return httpx.Response(response.status, headers=response.getheaders(), content=response.read())


def changed(**changes: Any) -> Json:
    """Return the minimal email with changes; `from_` is `from`, and `...` removes a member."""
    body = MINIMAL | {name.rstrip("_"): value for name, value in changes.items()}
    return {name: value for name, value in body.items() if value is not ...}


def accepted(response: httpx.Response) -> str:
    """Return the id after a check of the rules of a success (api.md §1, rules 1, 2 and 5)."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert not {"statusCode", "error"} & body.keys()
    assert str(UUID(body["id"])) == body["id"]
    return str(body["id"])


def refused(response: httpx.Response, status: int, name: str, field: str | None = None) -> Json:
    """Return the error after a check of its form (api.md §1, rules 3 and 4). `field` is the first named one."""
    assert response.status_code == status, response.text
    body = check_error(response)
    assert body["name"] == name, body
    if field is not None:
        assert body["details"][0]["field"] == field, body
        assert body["message"].startswith(field)
    return body


def check_error(response: httpx.Response) -> Json:
    """Check rules 3, 4 and 6 for any response that is no success."""
    assert response.headers["content-type"] == "application/json"
    body: Json = response.json()
    assert body["statusCode"] == response.status_code
    assert body["name"] in set(ErrorName)
    assert isinstance(body["message"], str)
    assert body["message"]
    assert not {"type", "code", "error"} & body.keys()
    assert body["request_id"] == response.headers["x-request-id"]
    assert response.headers.get("retry-after", "1").isdecimal()
    return body


def small(**changes: Any) -> RequestLimits:
    """Return the usual limits with changes."""
    return replace(LIMITS, **changes)
