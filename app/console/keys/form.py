"""Form of an API key: its fields as the members of POST /keys and PATCH /keys/{id}."""

from collections.abc import Mapping
from typing import Any

from app.mail.message.message import Lane

LIMITS = {
    "messages_per_minute": "Messages a minute",
    "messages_per_day": "Messages a day",
    "recipients_per_minute": "Recipients a minute",
    "recipients_per_day": "Recipients a day",
    "bytes_per_minute": "Bytes a minute",
    "bytes_per_day": "Bytes a day",
}
EMPTY: Mapping[str, Any] = {
    **dict.fromkeys(("name", "default_sender", "redirect_to", *LIMITS), ""),
    **dict.fromkeys(("senders", "recipients", "lanes", "ignore_suppressions"), ()),
    **dict.fromkeys(("sink", "disabled"), False),
    "permission": "sending_access",
}


def read_members(form: Mapping[str, str]) -> dict[str, Any]:
    """Return all members that the form has fields for."""
    return {
        **{name: form.get(name, "").strip() for name in ("name", "permission", "default_sender", "redirect_to")},
        **{name: form.get(name, "").split() for name in ("senders", "recipients")},
        **{name: [str(lane) for lane in Lane if f"{name}.{lane}" in form] for name in ("lanes", "ignore_suppressions")},
        **{name: name in form for name in ("sink", "disabled")},
        **{name: _number(form.get(name, "")) for name in LIMITS},
    }


def _number(text: str) -> int | str:
    """Return a number, 0 if there is none, or a text that is no number and that the API refuses."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else text or 0
