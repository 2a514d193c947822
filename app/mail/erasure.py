"""Erasure of an email: the search for an address in it, and its remains with placeholders for names, addresses and
subject. Codes, counts and times stay. Pure.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.mail.outcome.verdict import Explanation

ERASED = Explanation(
    "It was erased: its content, subject, names, addresses and SMTP dialogue were removed on request.",
    "Nothing to do. Its id, times, states and counts are kept until retention removes them.",
)
SUBJECT = "(erased)"
_DOMAIN = "erased.invalid"  # RFC 2606 §2: never a real one
ADDRESS = f"erased@{_DOMAIN}"
_CODES = re.compile(r"\d{3}(?:[ -]\d\.\d{1,3}\.\d{1,3})?")  # RFC 5321 §4.2, RFC 3463
_PLAIN_REASONS = ("expired", "suppressed")  # of a failed email: no server's text
_LISTS = ("to", "cc", "bcc", "reply_to")


def has_address(head: Mapping[str, Any], recipients: Sequence[str], address: str) -> bool:
    """Return True if an email was addressed to `address` (see `normalize_address`) or has it in Reply-To.

    `head` is as the caller submitted it; `recipients` are those of the envelope, after a redirection.
    """
    in_brackets = f"<{address}>"
    entries = (entry.lower() for name in _LISTS for entry in head[name])
    return any(recipient.lower() == address for recipient in recipients) or any(
        entry == address or entry.endswith(in_brackets) for entry in entries
    )


def placeholder_address(position: int) -> str:
    """Return the placeholder of the recipient at this position (from 0); each position has its own."""
    return f"erased-{position + 1}@{_DOMAIN}"


def erase_head(given: Mapping[str, Any], mail_from: str) -> dict[str, Any]:
    """Return the head without names, addresses, subject, tags and headers. The sending mailbox stays."""
    lists = {name: [ADDRESS] * len(given[name]) for name in _LISTS}
    return {"sender": mail_from, "subject": SUBJECT, "tags": [], **lists}


def erase_message_id(given: str, addresses: Sequence[str], own: str) -> str:
    """Return the Message-ID for Message trace, or a new one if the caller's contains an address."""
    lower = given.lower()
    return f"{own}@{_DOMAIN}" if any(address.lower() in lower for address in addresses) else given


def erase_reply(text: str | None) -> str | None:
    """Return the codes of a reply without its text."""
    found = _CODES.match(text or "")
    return found.group() if found else None


def erase_payload(kept: str, mail_from: str, identity: str, placeholders: Mapping[str, str]) -> str:
    """Return the erased payload of an email's webhook event. `placeholders` are by lower-case address."""
    event = json.loads(kept)
    data, relay = event["data"], event["data"]["relay"]
    data |= {"from": mail_from, "to": [ADDRESS] * len(data["to"]), "subject": SUBJECT, "tags": {}, "headers": []}
    data["message_id"] = f"<{identity}>"
    if "failed" in data:
        reason = data["failed"]["reason"]
        data["failed"]["reason"] = reason if reason in _PLAIN_REASONS else erase_reply(reason) or ERASED.summary
    if "bounce" in data:
        data["bounce"]["diagnosticCode"] = [erase_reply(code) or "" for code in data["bounce"]["diagnosticCode"]]
    if delivery := relay.get("delivery"):
        delivery["recipient"] = placeholders.get(delivery["recipient"].lower(), ADDRESS)
        delivery["cause"] = erase_reply(delivery["cause"])
    relay["explanation"] = {"summary": ERASED.summary, "fix": ERASED.fix}
    for recipient in relay["recipients"]:
        recipient["address"] = placeholders.get(recipient["address"].lower(), ADDRESS)
        recipient["reply"] = erase_reply(recipient["reply"])
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
