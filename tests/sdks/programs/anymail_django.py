"""Django application with Anymail and its Resend backend: send (`send URL KEY`), or read a received webhook
(`webhook SECRET`, the request on standard input). Prints the result as JSON."""

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.conf import settings

what, *arguments = sys.argv[1:]
url, secret = (*arguments, "unused") if what == "webhook" else arguments
settings.configure(
    SECRET_KEY="unused",  # of Django
    ALLOWED_HOSTS=["testserver"],
    INSTALLED_APPS=["anymail"],
    ROOT_URLCONF="anymail.urls",
    EMAIL_BACKEND="anymail.backends.resend.EmailBackend",
    ANYMAIL={
        "RESEND_API_KEY": secret,
        "RESEND_API_URL": url,
        "RESEND_SIGNING_SECRET": url,
        "WEBHOOK_SECRET": None,
    },
)
django.setup()

from anymail.exceptions import AnymailRequestsAPIError  # noqa: E402
from anymail.message import AnymailMessage, attach_inline_image  # noqa: E402
from anymail.signals import tracking  # noqa: E402
from django.test import Client  # noqa: E402


def message(**more: Any) -> Any:
    """Return an email with the usual members."""
    return AnymailMessage(
        subject="Größe", body="Hallo", from_email="Contoso <noreply@contoso.com>", to=["Zoë <zoe@example.net>"], **more
    )


def sent(email: Any) -> dict[str, Any]:
    """Return status and id of each recipient."""
    email.send()
    reported = email.anymail_status.recipients.items()
    return {address: {"status": one.status, "id": one.message_id} for address, one in reported}


def send(given: dict[str, Any]) -> dict[str, Any]:
    """Send one of each kind."""
    single = message(cc=["c@example.net"], bcc=["b@example.net"], reply_to=["help@contoso.com"], tags=["welcome"])
    single.metadata = {"order": "18"}
    cid = attach_inline_image(single, base64.b64decode(given["logo"]), filename="logo.png", subtype="png")
    single.attach_alternative(f'<p>Hi <img src="cid:{cid}"></p>', "text/html")
    single.attach("März.pdf", base64.b64decode(given["file"]), "application/pdf")
    many = message(merge_data={}, merge_metadata={"zoe@example.net": {"n": 1}, "bob@example.net": {"n": 2}})
    many.to = ["zoe@example.net", "Bob <bob@example.net>"]
    later = message(send_at=datetime.now(UTC) + timedelta(hours=1))
    reported = {"single": sent(single), "many": sent(many), "later": sent(later), "cid": cid}
    try:
        message(headers={"X-A": "b"}, template_id=None, esp_extra={"template": {"id": "x"}}).send()
    except AnymailRequestsAPIError as error:
        reported["refused"] = [error.status_code, error.response.json()["name"]]
    return reported


def webhook(given: dict[str, Any]) -> dict[str, Any]:
    """Return the view's response, and the event that it makes of the request."""
    events: list[Any] = []

    def collect(sender: object, event: Any, esp_name: str, **_: Any) -> None:
        events.append(
            {"type": event.event_type, "id": event.message_id, "to": event.recipient, "metadata": event.metadata}
        )

    tracking.connect(collect)
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in given["headers"].items()}
    post = {"path": "/resend/tracking/", "content_type": "application/json", "secure": True}
    good = Client().post(data=given["body"], **post, **headers)
    forged = Client().post(data=given["body"] + " ", **post, **headers)
    return {"status": good.status_code, "forged": forged.status_code, "events": events}


print(json.dumps({"send": send, "webhook": webhook}[what](json.load(sys.stdin)), default=str))
