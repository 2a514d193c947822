"""Page of the suppression list: filter by origin, search by address, add, remove."""

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from app.api.problems.problem import Invalid
from app.api.suppressions.input import SuppressionInput, SuppressionRemoval
from app.console.api import read_input
from app.console.request import ConsoleRequest
from app.mail.message.address import normalize_address
from app.mail.suppression import Origin
from app.store.suppressions.records import Suppression

ROWS_PER_PAGE = 50
ADDED, REMOVED = "added", "removed"
_DONE = {
    ADDED: "The address is suppressed. Emails that were accepted before are sent.",
    REMOVED: "The address was removed from the list and gets emails again.",
}


async def show_suppressions(request: ConsoleRequest) -> Response:
    """GET /console/suppressions."""
    return await _page(request)


async def change_suppressions(request: ConsoleRequest) -> Response:
    """POST /console/suppressions: add an address, or remove one by its id."""
    api, form = request.context.api.suppressions, request.form
    done = REMOVED if form.get("action") == "remove" else ADDED
    try:
        if done == REMOVED:
            body = read_input(SuppressionRemoval, {"ids": [form.get("id", "")]})
            await api.remove_suppressions(request.as_api, body)
        else:
            await api.add_suppression(request.as_api, read_input(SuppressionInput, {"email": form.get("email", "")}))
    except Invalid as problem:
        return await _page(request, problem.message.partition(": ")[2])
    return request.redirect("/suppressions", done=done)


async def _page(request: ConsoleRequest, error: str = "") -> Response:
    given = {name: request.query.get(name, "").strip() for name in ("origin", "email", "id", "after", "before")}
    found, older, newer = list[Suppression](), "", ""
    try:
        found, older, newer = await _find(request, given)
    except ValueError as invalid:
        error = error or str(invalid)
    return request.page(
        "suppressions/list.html",
        422 if request.http.method == "POST" else 200,
        rows=found,
        given=given,
        error=error,
        email=request.form.get("email", ""),
        origins=[*Origin],
        older=older,
        newer=newer,
        done=_DONE.get(request.query.get("done", ""), ""),
    )


async def _find(request: ConsoleRequest, given: Mapping[str, str]) -> tuple[list[Suppression], str, str]:
    """Return the entries, and the queries of the older and the newer page; "" if there is none."""
    store, now = request.context.store, request.now
    if given["email"] or given["id"]:
        entry = await store.suppression(normalize_address(given["email"]) if given["email"] else UUID(given["id"]), now)
        return [entry] if entry else [], "", ""
    origin = Origin(given["origin"]) if given["origin"] in {*Origin} else None
    after, before = (_cursor(given[name]) for name in ("after", "before"))
    found, has_more = await store.suppressions(
        origin, ROWS_PER_PAGE, now, after=None if before else after, before=before
    )
    if not found:
        return found, "", ""
    filters = {"origin": str(origin)} if origin else {}
    older = "?" + urlencode({**filters, "after": found[-1].id})
    newer = "?" + urlencode({**filters, "before": found[0].id})
    if before:
        return found, older, newer if has_more else ""
    return found, older if has_more else "", newer if after else ""


def _cursor(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise ValueError("The page must begin at the id of an entry. Follow the links of the list.") from None
