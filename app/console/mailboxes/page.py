"""Mailbox page: health, hold and release, and the connection check.

After a change the page waits until the relay has carried it out, and shows the result.
"""

from starlette.responses import Response

from app import logs
from app.console.context import ConsoleContext
from app.console.mailbox_view import MailboxView, is_changing, mailbox_path, mailbox_view
from app.console.request import ACTOR, ConsoleRequest, PageError
from app.mail.mailbox_health import MAX_REASON, one_line
from app.mail.readiness import DeepCheck
from app.store.mailboxes.records import HoldRequest

NO_MAILBOX = PageError(404, "Not found", "There is no such mailbox in the settings.")
ACTIONS = ("hold", "release")
RESULT_TIMEOUT = 10.0  # seconds for the relay to carry out a change, which is not undone afterwards
_POLL_INTERVAL = 0.2  # seconds


async def show_mailbox(request: ConsoleRequest) -> Response:
    """GET /console/mailboxes/{name}."""
    return await _render(request, None)


async def check_mailbox(request: ConsoleRequest) -> Response:
    """POST /console/mailboxes/{name}/examine: the deep check of /readyz, at most once a minute."""
    _name(request)
    return await _render(request, await request.context.deep_check())


async def change_hold(request: ConsoleRequest) -> Response:
    """POST /console/mailboxes/{name}: hold or release the mailbox."""
    name, action = _name(request), request.form.get("action", "")
    if action not in ACTIONS:
        raise PageError(400, "Not done", "The only actions for a mailbox are hold and release.")
    hold = action == "hold"
    try:
        change = HoldRequest(request.now, hold, one_line(request.form.get("reason", "")) if hold else "")
    except ValueError as error:
        raise PageError(400, "Not done", f"The reason: {error}") from None
    if not await request.context.store.request_hold(name, change, request.actor):
        raise PageError(409, "Not done", "No relay has taken this mailbox over yet, so it cannot be held or released.")
    logs.mailbox_hold_requested(name, wish=change.description, key=ACTOR)
    await _wait(request, name)
    return request.redirect(mailbox_path(name), done=action)


async def _render(request: ConsoleRequest, check: DeepCheck | None) -> Response:
    view = await _view(request)
    findings = (
        [finding for finding in check.findings if _is_about(finding["about"], view.name, request.context)]
        if check
        else []
    )
    return request.page(
        "mailboxes/mailbox.html",
        mailbox=view,
        check=check,
        findings=findings,
        max_reason=MAX_REASON,
        changed=view.change_result(request.query.get("done", "")),
    )


async def _wait(request: ConsoleRequest, name: str) -> None:
    """Wait until the relay has held the mailbox, or released it and tried the login."""
    clock = request.context.clock
    end = clock.monotonic() + RESULT_TIMEOUT
    while clock.monotonic() < end:
        record = await request.context.store.mailbox(name)
        if record is None or not is_changing(record):
            return
        await clock.sleep(_POLL_INTERVAL)


async def _view(request: ConsoleRequest) -> MailboxView:
    name = _name(request)
    records = {record.name: record for record in await request.context.store.mailboxes()}
    used = await request.context.store.usage(request.now, [name])
    return mailbox_view(request.context, name, records, request.now, used[name])


def _name(request: ConsoleRequest) -> str:
    name: str = request.http.path_params["name"]
    if name not in request.context.pools:
        raise NO_MAILBOX
    return name


def _is_about(about: str, name: str, context: ConsoleContext) -> bool:
    """Return whether a finding is about this mailbox, or about the connection that all mailboxes share."""
    return about == name or about not in context.pools
