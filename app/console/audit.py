"""Audit page: changes by people and API keys, newest first."""

from uuid import UUID

from starlette.responses import Response

from app.console.request import ConsoleRequest, PageError

ROWS_PER_PAGE = 50


async def show_audit(request: ConsoleRequest) -> Response:
    """GET /console/audit."""
    records = await request.context.store.audit(_before(request), ROWS_PER_PAGE + 1)
    older = str(records[ROWS_PER_PAGE - 1].id) if len(records) > ROWS_PER_PAGE else ""
    return request.page("audit.html", records=records[:ROWS_PER_PAGE], older=older)


def _before(request: ConsoleRequest) -> UUID | None:
    try:
        return UUID(request.query["before"]) if "before" in request.query else None
    except ValueError:
        raise PageError(400, "Not found", "The value of `before` is not an id of the audit.") from None
