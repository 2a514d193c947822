"""Program of an application that receives events by the Resend SDK for Python: it verifies each and reads its members.

Prints the events, with the required members of the SDK's types that an event does not have.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_args, get_type_hints

resend: Any = import_module("resend")
events_module: Any = import_module("resend.webhooks._webhook_event")
given = json.load(sys.stdin)


def missing(kind: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield the required members of a type that the value does not have, or has with another type."""
    for name, member in get_type_hints(kind).items():
        here = f"{path}.{name}"
        if name not in kind.__required_keys__:
            continue
        if name not in value or (member is str and not isinstance(value[name], str)):
            yield here
        elif hasattr(member, "__required_keys__"):
            yield from missing(member, value[name], here)


types: Mapping[str, Any] = {
    get_args(get_type_hints(kind)["type"])[0]: kind for kind in get_args(events_module.WebhookEventPayload)
}
read, refused = [], 0
for event in given["events"]:
    parts = {name: event["headers"][f"svix-{name}"] for name in ("id", "timestamp", "signature")}
    options = {"payload": event["payload"], "headers": parts, "webhook_secret": given["secret"]}
    found = resend.Webhooks.verify(options)
    read.append({**found, "missing": [*missing(types[found["type"]], found)]})
    try:
        resend.Webhooks.verify({**options, "payload": event["payload"] + " "})
    except ValueError:
        refused += 1
print(json.dumps({"read": read, "refused": refused}))
