"""Program of an application with the Resend SDK for Python. Reads the email from standard input, prints the results."""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

resend: Any = import_module("resend")  # whichever version is here
email: dict[str, Any] = json.load(sys.stdin)
later = {**email, "scheduled_at": "in 1 hour", "attachments": []}


def refused(call: Callable[[], Any]) -> list[str]:
    """Return the class and message."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(getattr(error, "code", "")), str(error)]
    return ["nothing was raised"]


resend.api_key = "a-key-that-nobody-has"
stranger = refused(lambda: resend.Emails.send(email))
resend.api_key = sys.argv[1]
sent = resend.Emails.send(email)
once = {"idempotency_key": "once"}
first = resend.Batch.send([later, later], once)
again = resend.Batch.send([later, later], once)
one, two = (item["id"] for item in first["data"])
print(
    json.dumps(
        {
            "version": resend.version.get_version(),
            "id": sent["id"],
            "read": resend.Emails.get(email_id=sent["id"]),
            "replayed": [item["id"] for item in again["data"]] == [one, two],
            "updated": resend.Emails.update({"id": one, "scheduled_at": "2026-12-24T08:00:00Z"})["id"] == one,
            "moved": resend.Emails.get(email_id=one)["scheduled_at"],
            "cancelled": resend.Emails.cancel(email_id=two)["id"] == two,
            "event": resend.Emails.get(email_id=two)["last_event"],
            "stranger": stranger,
            "invalid": refused(lambda: resend.Emails.send({**email, "to": "nope"})),
            "missing": refused(lambda: resend.Emails.send({**email, "subject": ""})),
            "unknown": refused(lambda: resend.Emails.get(email_id="0c6a1b52-0f3b-7c3f-8000-000000000000")),
        },
        default=str,
    )
)
