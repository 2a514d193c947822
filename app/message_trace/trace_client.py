"""Client of Microsoft Graph's message trace (v1.0): pages of rows, and the details of one row.

Each method sends one request and does not repeat it. Links of next pages are followed only on the same host.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.clock import Clock
from app.mail.delivery.trace_row import TraceDetail, TraceRow, parse_details, parse_rows
from app.mail.office365.graph import TRACE_PERMISSION, TRACE_PRINCIPAL
from app.message_trace.graph import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, GraphConnection, GraphError
from app.smtp.auth.oauth import TokenSource

PAGE_SIZE = 5_000  # rows; the maximum of Graph
_TRACES = "/v1.0/admin/exchange/tracing/messageTraces"
_FIXES = {
    UNAUTHORIZED: f"Create Microsoft's service principal in the tenant (New-MgServicePrincipal -AppId "
    f"{TRACE_PRINCIPAL}) and wait some hours.",
    FORBIDDEN: f"Grant the app the application permission {TRACE_PERMISSION} of Microsoft Graph.",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Page of rows, newest first. `next_link` is None on the last one."""

    rows: Sequence[TraceRow]
    next_link: str | None


class TraceClient:
    """Client of one tenant. `base` is the address of Graph without a path."""

    def __init__(self, base: str, source: TokenSource, clock: Clock, trust: ssl.SSLContext) -> None:
        self._graph = GraphConnection(base, source, clock, trust, _FIXES)
        self.service_time = self._graph.service_time
        self.close = self._graph.close

    async def first_page(self, asked: str) -> Page:
        """Return the newest rows that match the filter. Raises GraphError."""
        return await self._page(f"{self._graph.base}{_TRACES}?$top={PAGE_SIZE}&$filter={quote(asked)}")

    async def next_page(self, link: str) -> Page:
        """Return the page of a link. Raises GraphError."""
        return await self._page(self._graph.check_link(link))

    async def details(self, row: TraceRow) -> list[TraceDetail]:
        """Return the events of a row; [] if Exchange does not know it any more. Raises GraphError."""
        recipient = quote(row.recipient.replace("'", "''"))
        path = f"{_TRACES}/{row.network_id}/getDetailsByRecipient(recipientAddress='{recipient}')"
        try:
            return parse_details(_list(await self._graph.get_json(f"{self._graph.base}{path}")))
        except GraphError as error:
            if error.status == NOT_FOUND:
                return []
            raise

    async def _page(self, url: str) -> Page:
        answer = await self._graph.get_json(url)
        rows = await asyncio.to_thread(parse_rows, _list(answer))
        link = answer.get("@odata.nextLink")
        return Page(rows, link if isinstance(link, str) else None)


def _list(document: Mapping[str, Any]) -> list[object]:
    value = document.get("value")
    return value if isinstance(value, list) else []
