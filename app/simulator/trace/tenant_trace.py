"""Message trace of the simulated tenant: its rows and their events, permissions, throttling, and scripted failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from app.mail.office365.graph import iso_seconds
from app.simulator.entra import Entra
from app.simulator.server import Simulator
from app.simulator.trace.errors import GraphError, ScriptedErrors
from app.simulator.trace.fates import Fate
from app.simulator.trace.odata import parse_filter
from app.simulator.trace.rows import TraceRow, rows_at
from app.simulator.trace.throttle import Throttle, TraceRequest


class TenantTrace:
    """Trace of one tenant. `delay`: seconds after which a row appears; `ahead`: of the service's clock."""

    def __init__(self, simulator: Simulator, entra: Entra) -> None:
        self.url = ""  # base address of Graph, and the resource of its tokens
        self.clock = simulator.clock
        self.delay = 0.0
        self.ahead = 0.0
        self.fates: dict[str, Fate] = {}  # by recipient in lower case
        self.requests: list[TraceRequest] = []
        self.service_principal = True  # Microsoft's app 8bd644d1-… exists in the tenant
        self.permitted = True  # the caller's app has ExchangeMessageTrace.Read.All
        self.simulator = simulator
        self.entra = entra
        self._extra: list[TraceRow] = []
        self._errors = ScriptedErrors()
        self._throttle = Throttle()

    def add(self, *rows: TraceRow) -> None:
        """Add rows of mail that did not come from the SMTP simulator, or that appear twice."""
        self._extra.extend(rows)

    def fail(self, status: int, *, times: int = 1, retry_after: int | None = None) -> None:
        """Answer the next `times` requests with this status."""
        self._errors.add(status, times, retry_after)

    def service_time(self) -> float:
        """Epoch seconds of Microsoft's clock."""
        return self.clock.now() + self.ahead

    @property
    def rows(self) -> list[TraceRow]:
        """Visible rows, newest first."""
        visible = rows_at(self.simulator.messages, self.fates, self.clock.now(), self.delay)
        return sorted([*visible, *self._extra], key=lambda row: row.key)

    @contextmanager
    def request(self, call: str, authorization: str) -> Iterator[None]:
        """Check and count one request. Raises GraphError."""
        status = 200
        try:
            self._check(call, authorization)
            yield
        except GraphError as error:
            status = error.status
            raise
        finally:
            self.requests.append(TraceRequest(self.clock.now(), call, status))

    def page(self, asked: str, top: int, after: tuple[int, str, str] | None) -> tuple[list[TraceRow], bool]:
        """Return up to `top` rows after a position, and whether more follow. Raises FilterError."""
        chosen = parse_filter(asked, self.service_time())
        rows = [row for row in self.rows if chosen(row) and (after is None or row.key > after)]
        return rows[:top], len(rows) > top

    def details(self, id: str, recipient: str) -> list[dict[str, Any]]:
        """Return the events of a row. Raises GraphError."""
        found = [row for row in self.rows if str(row.id) == id and row.recipient == recipient.lower()]
        if not found:
            raise GraphError(404, "NotFound", "The message was not found.")
        return [_event(found[0], kind, text) for kind, text in _events(found[0])]

    def check_token(self, authorization: str) -> None:
        """Check that an Authorization header has a valid token of Graph (RFC 6750 §2.1). Raises GraphError."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not self.entra.is_valid_for(token, self.url):
            raise GraphError(401, "InvalidAuthenticationToken", "Access token validation failure.")

    def _check(self, call: str, authorization: str) -> None:
        retry_after = self._throttle.retry_after(call, self.clock.now())
        if retry_after is not None:
            raise GraphError(429, "TooManyRequests", "Too many requests.", retry_after)
        self._errors.check()
        self.check_token(authorization)
        if not self.service_principal:
            raise GraphError(401, "UnknownError", "The service principal of the trace service does not exist.")
        if not self.permitted:
            raise GraphError(403, "Forbidden", "Missing role ExchangeMessageTrace.Read.All.")


def _events(row: TraceRow) -> Iterator[tuple[str, str]]:
    yield "Receive", "Message received by: simulator"
    if row.status == "failed":
        digit = row.code[:1] or "5"
        reply = f"{digit}50 {row.code} {row.text}".strip()
        yield "Fail", f"Reason: [{{LED={reply}}};{{MSG=}};{{FQDN=mx.example.net}};{{IP=198.51.100.20}}]"
    elif row.status == "pending":
        yield "Defer", f"Reason: [{{LED=450 {row.code or '4.4.7'} {row.text}}};{{MSG=}};{{FQDN=mx.example.net}}]"
    elif row.status == "delivered":
        yield "Send external", "Message sent to mx.example.net at 198.51.100.20 using TLS1.3 with AES256"


def _event(row: TraceRow, kind: str, text: str) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.exchangeMessageTraceDetail",
        "id": str(uuid4()),
        "messageId": row.message_id,
        "dateTime": iso_seconds(row.received_at),
        "event": kind,
        "action": None,
        "description": text,
        "data": "<root></root>",
    }
