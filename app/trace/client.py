"""Client of Microsoft Graph's message trace (v1.0): pages of rows, and the details of one row.

Each method sends one request and does not repeat it. Links of next pages are followed only on the same host.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from app.clock import Clock
from app.mail.delivery.trace_row import TraceDetail, TraceRow, parse_details, parse_rows
from app.mail.retry_schedule import retry_after
from app.smtp.auth.failure import CredentialError
from app.smtp.auth.oauth import TokenSource

PAGE_SIZE = 5_000  # rows; the maximum of Graph
TIMEOUT = 60.0  # seconds of a request; 5,000 rows were measured at 2 to 4
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
_TRACES = "/v1.0/admin/exchange/tracing/messageTraces"
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _THROTTLED = 200, 401, 403, 404, 429
_DEFAULT_PAUSE = 60.0  # seconds after 429 without Retry-After
_PRINCIPAL = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"  # Microsoft's service of the message trace
_FIXES = {
    _UNAUTHORIZED: f"Create Microsoft's service principal in the tenant (New-MgServicePrincipal -AppId {_PRINCIPAL}) "
    "and wait some hours.",
    _FORBIDDEN: "Grant the app the application permission ExchangeMessageTrace.Read.All of Microsoft Graph.",
}


class TraceError(Exception):
    """Request without a usable answer. The text is one sentence. `transient`: a repetition can succeed at once."""

    def __init__(self, sentence: str, *, transient: bool = False) -> None:
        super().__init__(sentence)
        self.transient = transient


class ThrottledError(TraceError):
    """Refusal because of too many requests; the next one is allowed after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Microsoft Graph refuses requests for {seconds:.0f} s.")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Page:
    """Page of rows, newest first. `next_link` is None on the last one."""

    rows: Sequence[TraceRow]
    next_link: str | None


class GraphClient:
    """Client of one tenant. `base` is the address of Graph without a path."""

    def __init__(self, base: str, source: TokenSource, clock: Clock, trust: ssl.SSLContext) -> None:
        self._base = base.rstrip("/")
        self._source = source
        self._clock = clock
        self._ahead = 0.0
        self._http = httpx.AsyncClient(verify=trust, timeout=TIMEOUT, follow_redirects=False)

    def service_time(self) -> float:
        """Return epoch seconds of Microsoft's clock, as far as it is known."""
        return self._clock.now() + self._ahead

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def first_page(self, asked: str) -> Page:
        """Return the newest rows that match the filter. Raises TraceError."""
        return await self._page(f"{self._base}{_TRACES}?$top={PAGE_SIZE}&$filter={quote(asked)}")

    async def next_page(self, link: str) -> Page:
        """Return the page of a link. Raises TraceError."""
        if urlsplit(link)[:2] != urlsplit(self._base)[:2]:
            raise TraceError("The link of the next page is on another host.")
        return await self._page(link)

    async def details(self, row: TraceRow) -> list[TraceDetail]:
        """Return the events of a row; [] if Exchange does not know it any more. Raises TraceError."""
        recipient = quote(row.recipient.replace("'", "''"))
        url = f"{self._base}{_TRACES}/{row.network_id}/getDetailsByRecipient(recipientAddress='{recipient}')"
        answer = await self._get(url, missing=True)
        return parse_details(_list(answer))

    async def _page(self, url: str) -> Page:
        answer = await self._get(url)
        rows = await asyncio.to_thread(parse_rows, _list(answer))
        link = answer.get("@odata.nextLink")
        return Page(rows, link if isinstance(link, str) else None)

    async def _get(self, url: str, *, missing: bool = False) -> Mapping[str, Any]:
        try:
            token = await self._source.token()
        except CredentialError as error:
            raise TraceError(f"There is no token for Microsoft Graph: {error}") from None
        try:
            response = await self._http.get(url, headers={"Authorization": f"Bearer {token}"})
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise TraceError(f"Microsoft Graph gave no answer ({type(error).__name__}).", transient=True) from None
        self._read_date(response)
        if response.status_code == _NOT_FOUND and missing:
            return {}
        if response.status_code == _UNAUTHORIZED:
            self._source.forget(token)
        _check(response, self._clock.now())
        return await asyncio.to_thread(_document, response)

    def _read_date(self, response: httpx.Response) -> None:
        """Learn how far Microsoft's clock is ahead of ours; the Date has whole seconds."""
        try:
            self._ahead = parsedate_to_datetime(response.headers["Date"]).timestamp() - self._clock.now()
        except (KeyError, ValueError, TypeError, OverflowError):
            return


def _check(response: httpx.Response, now: float) -> None:
    status = response.status_code
    if status == _THROTTLED:
        raise ThrottledError(retry_after(response.headers.get("Retry-After", ""), now) or _DEFAULT_PAUSE)
    if status >= 500:
        raise TraceError(f"Microsoft Graph answered {status}.", transient=True)
    if status != _OK:
        raise TraceError(f"Microsoft Graph answered {status}. {_FIXES.get(status, '')}".rstrip())


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        if len(response.content) <= MAX_RESPONSE_BYTES and isinstance(document := json.loads(response.content), dict):
            return document
    except (ValueError, RecursionError):
        pass
    raise TraceError("Microsoft Graph gave no readable answer.", transient=True)


def _list(document: Mapping[str, Any]) -> list[object]:
    value = document.get("value")
    return value if isinstance(value, list) else []
