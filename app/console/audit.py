"""Who has changed what, the newest first. Changes nothing."""

from uuid import UUID

from starlette.responses import Response

from app.console.desk import Desk
from app.console.visit import Refusal, Visit

ROWS = 50


class Audit:
    """The page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, visit: Visit) -> Response:
        """GET /console/audit."""
        records = await self._desk.store.audit(_before(visit), ROWS + 1)
        rest = str(records[ROWS - 1].id) if len(records) > ROWS else ""
        return visit.page("audit.html", records=records[:ROWS], older=rest)


def _before(visit: Visit) -> UUID | None:
    try:
        return UUID(visit.query["before"]) if "before" in visit.query else None
    except ValueError:
        raise Refusal(400, "Nothing here", "The page is not one that the list has given.") from None
