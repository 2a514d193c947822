"""Pages, actions and longer timeouts by path below the console. `console` adds overview, list of emails and login."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from app.console.audit.page import show_audit
from app.console.email.content import download, show_frame, show_preview
from app.console.email.page import change_email, show_email
from app.console.email_list.change import change_emails
from app.console.keys.pages import change_key, create_key, show_key, show_keys
from app.console.mailboxes.page import change_hold, check_mailbox, show_mailbox
from app.console.request import ConsoleRequest
from app.console.send_test import page as send_test
from app.console.suppressions.page import change_suppressions, show_suppressions
from app.console.webhooks.pages import (
    change_webhook,
    create_webhook,
    replay_event,
    show_event,
    show_webhook,
    show_webhooks,
)

_EMAIL, _MAILBOX, _KEY = "/emails/{id:uuid}", "/mailboxes/{name}", "/keys/{id:uuid}"
_WEBHOOK = "/webhooks/{id:uuid}"
_EVENT = f"{_WEBHOOK}/events/{{event_id:uuid}}"
_CHECK = f"{_MAILBOX}/examine"
_Endpoints = Mapping[str, Callable[[ConsoleRequest], Awaitable[Response]]]

PAGES: _Endpoints = {
    _EMAIL: show_email,
    f"{_EMAIL}/message.eml": download,
    f"{_EMAIL}/preview/{{kind}}": show_preview,
    f"{_EMAIL}/frame/{{kind}}": show_frame,
    _MAILBOX: show_mailbox,
    "/keys": show_keys,
    _KEY: show_key,
    "/webhooks": show_webhooks,
    _WEBHOOK: show_webhook,
    _EVENT: show_event,
    "/suppressions": show_suppressions,
    "/test": send_test.show_form,
    "/audit": show_audit,
}
ACTIONS: _Endpoints = {
    _EMAIL: change_email,
    "/emails/change": change_emails,
    _MAILBOX: change_hold,
    _CHECK: check_mailbox,
    "/keys": create_key,
    _KEY: change_key,
    "/webhooks": create_webhook,
    _WEBHOOK: change_webhook,
    _EVENT: replay_event,
    "/suppressions": change_suppressions,
    "/test": send_test.send,
}
TIMEOUTS: Mapping[str, float] = {_CHECK: 38.0}  # seconds for the page that runs the deep check
