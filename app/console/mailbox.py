"""One mailbox: where it stands and what mends it, hold and release, and what the doctor finds on the way to it."""

from starlette.responses import Response

from app import logs
from app.console.context import ConsoleContext
from app.console.mailbox_view import MailboxView, mailbox_path, mailbox_view
from app.console.request import WHO, ConsoleRequest, PageError
from app.mail.mailbox_health import MAX_REASON, one_line
from app.mail.readiness import DeepCheck
from app.store.mailboxes.records import HoldRequest

NO_MAILBOX = PageError(404, "Nothing here", "There is no such mailbox in the settings.")
DONE = {
    "hold": "It will be held within a second. Its messages wait.",
    "release": "It logs in once and goes on if that works.",
}


class MailboxPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/mailboxes/{name}."""
        return await self._shown(visit, None)

    async def examine(self, visit: ConsoleRequest) -> Response:
        """POST /console/mailboxes/{name}/examine: the deep look of /readyz, which is shared for a minute."""
        self._name(visit)
        return await self._shown(visit, await self._desk.deep_check())

    async def wish(self, visit: ConsoleRequest) -> Response:
        """POST /console/mailboxes/{name}: hold or release."""
        name, what = self._name(visit), visit.form.get("what", "")
        if what not in DONE:
            raise PageError(400, "Not done", "There is no such wish for a mailbox.")
        hold = what == "hold"
        try:
            wish = HoldRequest(visit.now, hold, one_line(visit.form.get("reason", "")) if hold else "")
        except ValueError as error:
            raise PageError(400, "Not done", f"The reason: {error}") from None
        if not await self._desk.store.request_hold(name, wish, visit.by):
            raise PageError(409, "Not done", "No relay has taken this mailbox over yet.")
        logs.mailbox_hold_requested(name, wish=wish.description, key=WHO)
        return visit.redirect(mailbox_path(name), done=what)

    async def _shown(self, visit: ConsoleRequest, examined: DeepCheck | None) -> Response:
        view = await self._view(visit)
        findings = (
            [one for one in examined.findings if _is_about(one["about"], view.name, self._desk)] if examined else []
        )
        return visit.page(
            "mailbox.html",
            mailbox=view,
            examined=examined,
            findings=findings,
            longest=MAX_REASON,
            done=DONE.get(visit.query.get("done", ""), ""),
        )

    async def _view(self, visit: ConsoleRequest) -> MailboxView:
        name = self._name(visit)
        records = {record.name: record for record in await self._desk.store.mailboxes()}
        return mailbox_view(self._desk, name, records, await self._desk.store.usage(visit.now), visit.now)

    def _name(self, visit: ConsoleRequest) -> str:
        name: str = visit.request.path_params["name"]
        if name not in self._desk.pools:
            raise NO_MAILBOX
        return name


def _is_about(about: str, name: str, desk: ConsoleContext) -> bool:
    """It is about this mailbox, or about the way that all take."""
    return about == name or about not in desk.pools
