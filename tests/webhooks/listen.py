"""Creation of a webhook, its events, and verification of signatures."""

from collections import Counter
from typing import Any

import resend
import standardwebhooks
import svix.webhooks

from app.mail.webhook.rules import EventType
from tests.harness import Harness
from tests.waiting import until
from tests.webhooks.receiver import Got, Json


async def listen(harness: Harness, url: str, *events: str) -> Json:
    """Create a webhook; return it as its creator reads it."""
    answer = await harness.caller.post("/webhooks", json={"endpoint": url, "events": list(events or EventType)})
    assert answer.status_code == 200, answer.text
    made: Json = answer.json()
    return made


async def ask(harness: Harness, method: str, path: str, **body: Any) -> Json:
    """Return the response of the API, which must be a success."""
    answer = await harness.caller.request(method, path, json=body or None)
    assert answer.status_code == 200, answer.text
    value: Json = answer.json()
    return value


async def events_of(harness: Harness, webhook: str, query: str = "") -> list[Json]:
    """Return the sent and pending events of an endpoint, the newest first."""
    page: list[Json] = (await ask(harness, "GET", f"/webhooks/{webhook}/events{query}"))["data"]
    return page


async def statuses(harness: Harness, webhook: str, **wanted: int) -> list[Json]:
    """Return the newest events once this many have these statuses, which are stored after the delivery."""

    async def reached() -> list[Json] | None:
        events = await events_of(harness, webhook, "?limit=100")
        return events if Counter(event["status"] for event in events) == wanted else None

    return await until(reached)


async def settled(harness: Harness, webhook: str, event: str, tries: int) -> list[Json]:
    """Return the attempts of an event, the newest first, once this many are stored."""
    path = f"/webhooks/{webhook}/events/{event}/attempts"

    async def stored() -> list[Json] | None:
        attempts: list[Json] = (await ask(harness, "GET", path))["data"]
        return attempts if len(attempts) >= tries else None

    return await until(stored)


def verify(got: Got, secret: str) -> None:
    """Verify with the packages of Standard Webhooks, Svix and Resend, each with its headers. Raises their errors."""
    standard = {name: value for name, value in got.headers.items() if name.startswith("webhook-")}
    svix_own = {name: value for name, value in got.headers.items() if name.startswith("svix-")}
    assert len(standard) == len(svix_own) == 3
    standardwebhooks.Webhook(secret).verify(got.body, standard)
    svix.webhooks.Webhook(secret).verify(got.body, svix_own)
    resend.Webhooks.verify(
        {
            "payload": got.body.decode(),
            "headers": {
                "id": svix_own["svix-id"],
                "timestamp": svix_own["svix-timestamp"],
                "signature": svix_own["svix-signature"],
            },
            "webhook_secret": secret,
        }
    )
