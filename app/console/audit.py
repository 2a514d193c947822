"""Who has changed what, the newest first. Changes nothing."""

from uuid import UUID

from starlette.responses import Response

from app.console.context import ConsoleContext
from app.console.request import ConsoleRequest, PageError

ROWS = 50


class AuditPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/audit."""
        records = await self._desk.store.audit(_before(visit), ROWS + 1)
        rest = str(records[ROWS - 1].id) if len(records) > ROWS else ""
        return visit.page("audit.html", records=records[:ROWS], older=rest)


def _before(visit: ConsoleRequest) -> UUID | None:
    try:
        return UUID(visit.query["before"]) if "before" in visit.query else None
    except ValueError:
        raise PageError(400, "Nothing here", "The page is not one that the list has given.") from None
