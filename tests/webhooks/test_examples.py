"""Every example of an event or response in the specification equals a live one.

Ids, times, secrets, numbers and the texts of the mail server differ; every member, its type and every other text are
the same.
"""

import json
import re
from typing import Any

import httpx

from app.simulator import Fault
from tests.clock import autojump
from tests.contract.api.specification import FILE
from tests.harness import MAILBOX, Harness
from tests.waiting import until
from tests.webhooks.conftest import Open
from tests.webhooks.listen import settled
from tests.webhooks.receiver import Receiver

Json = dict[str, Any]

SPECIFICATION: Json = json.loads(FILE.read_text("utf-8"))
VARIABLE = {
    "<id>": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "<secret>": re.compile(r"(?<=whsec_)\S+|(?<=pst_)\S+"),
    "<url>": re.compile(r"https?://(?:localhost|shop)\S+"),
    "<replica>": re.compile(r"\b[\w.-]+:\d+\b"),
    "<request>": re.compile(r"\b[0-9a-f]{24}\b"),
}
OF_THE_SERVER = frozenset({"replies", "dialogue", "reply", "response"})  # members with texts of another server
OF_A_BOUNCE = {("listSuppressions", "one"), ("getSuppression", "a bounce")}  # no email bounces here
SAME = ("rescheduleEmail", "cancelEmail", "retryEmail", "confirmEmail", "eraseEmail")  # one answer, one example


def general(value: Any, name: str = "") -> Any:
    """The value without what differs from answer to answer."""
    if isinstance(value, dict):
        return {key: general(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return "<texts>" if name in OF_THE_SERVER else [general(one) for one in value]
    if isinstance(value, str):
        for mark, pattern in VARIABLE.items():
            value = pattern.sub(mark, value)
        return "<text>" if name in OF_THE_SERVER else value
    return "<number>" if isinstance(value, int | float) and not isinstance(value, bool) else value


def examples() -> dict[tuple[str, str], Any]:
    """Every example of a success in JSON, by operation and title."""
    return {
        (operation["operationId"], title): example["value"]
        for methods in SPECIFICATION["paths"].values()
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for title, example in answer.get("content", {}).get("application/json", {}).get("examples", {}).items()
    }


def request_example(operation_id: str, title: str) -> Any:
    """The body of an example of a request."""
    for methods in SPECIFICATION["paths"].values():
        for operation in methods.values():
            if operation["operationId"] == operation_id:
                return operation["requestBody"]["content"]["application/json"]["examples"][title]["value"]
    raise KeyError(operation_id)


async def ask(harness: Harness, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """An answer that has to be a success."""
    answer: httpx.Response = await harness.caller.request(method, path, json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()


@autojump
async def test_every_example_is_a_live_answer(new_harness: Open) -> None:
    """Of one Postern that sends to a simulator and to a webhook."""
    live: dict[tuple[str, str], Any] = {}
    async with new_harness() as harness, Receiver() as receiver:
        await _webhooks(harness, receiver, live)
        await _emails(harness, live)
        await _keys(harness, live)
        await _suppressions(harness, live)
        live["getHealth", "alive"] = await ask(harness, "GET", "/healthz")
        live["getReadiness", "ready"] = await ask(harness, "GET", "/readyz")
    async with new_harness() as harness:
        await _held(harness, live)
    shown = examples()
    for operation in SAME:
        live.setdefault((operation, "changed"), live["rescheduleEmail", "changed"])
    for key, value in live.items():
        assert general(value) == general(shown[key]), key
    assert live.keys() == shown.keys() - OF_A_BOUNCE


async def _webhooks(harness: Harness, receiver: Receiver, live: dict[tuple[str, str], Any]) -> None:
    made = await ask(harness, "POST", "/webhooks", {"endpoint": receiver.url, "events": ["email.sent", "email.failed"]})
    live["createWebhook", "created"] = made
    path = f"/webhooks/{made['id']}"
    live["listWebhooks", "one"] = await ask(harness, "GET", "/webhooks")
    live["getWebhook", "enabled"] = await ask(harness, "GET", path)
    receipt = request_example("sendEmail", "a receipt")
    await harness.until(await harness.post(**receipt, tags=[{"name": "category", "value": "receipt"}]), "done")
    await receiver.until(lambda: bool(receiver.taken))
    [event_id] = [event["id"] for event in (await ask(harness, "GET", f"{path}/events"))["data"]]
    await settled(harness, made["id"], event_id, 1)
    live["listWebhookEvents", "one"] = events = await ask(harness, "GET", f"{path}/events")
    event = f"{path}/events/{events['data'][0]['id']}"
    live["getWebhookEvent", "sent"] = await ask(harness, "GET", event)
    live["listWebhookEventTries", "one"] = await ask(harness, "GET", f"{event}/attempts")
    live["replayWebhookEvent", "replayed"] = await ask(harness, "POST", f"{event}/replay")
    live["replayWebhook", "replayed"] = await ask(harness, "POST", f"{path}/replay", {"since": "2026-01-01T00:00:00Z"})
    live["rotateWebhookSecret", "rotated"] = await ask(harness, "POST", f"{path}/signing-secret/rotate")
    live["reviseWebhook", "changed"] = await ask(harness, "PATCH", path, {"status": "disabled"})
    live["removeWebhook", "removed"] = await ask(harness, "DELETE", path)


async def _emails(harness: Harness, live: dict[tuple[str, str], Any]) -> None:
    receipt = request_example("sendEmail", "a receipt")
    file = {"filename": "invoice.pdf", "content": "JVBERi0xLjQK"}
    tagged = {**receipt, "tags": [{"name": "category", "value": "receipt"}], "text": "Thank you."}
    live["validateEmail", "valid"] = await ask(harness, "POST", "/emails/validate", receipt)
    live["sendEmail", "kept"] = sent = await ask(harness, "POST", "/emails", tagged)
    await harness.until(sent["id"], "done")
    live["getEmail", "sent"] = await ask(harness, "GET", f"/emails/{sent['id']}")
    live["listEmails", "a page"] = await ask(harness, "GET", "/emails?limit=1")
    live["sendBatch", "strict"] = await ask(harness, "POST", "/emails/batch", [receipt, receipt])
    live["sendBatch", "permissive"] = await ask(
        harness, "POST", "/emails/batch", [receipt, {**receipt, "to": None}], **{"x-batch-validation": "permissive"}
    )
    later = await harness.post(scheduled_at="in 1 hour", to="anna@example.com", attachments=[file])
    files = f"/emails/{later}/attachments"
    live["listAttachments", "one file"] = listed = await ask(harness, "GET", files)
    live["getAttachment", "a file"] = await ask(harness, "GET", f"{files}/{listed['data'][0]['id']}")
    live["rescheduleEmail", "changed"] = await ask(harness, "PATCH", f"/emails/{later}", {"scheduled_at": "in 2 hours"})
    live["eraseAddress", "done"] = await ask(harness, "POST", "/emails/erase", {"address": "anna@example.com"})
    live["cancelEmail", "changed"] = await ask(harness, "POST", f"/emails/{later}/cancel")
    live["eraseEmail", "changed"] = await ask(harness, "POST", f"/emails/{later}/erase")
    postmark = [request_example("sendPostmarkEmail", title) for title in ("a receipt", "a one-time code")]
    live["sendPostmarkEmail", "kept"] = await ask(harness, "POST", "/email", postmark[0])
    wrong = {**postmark[1], "To": "nope"}
    live["sendPostmarkBatch", "one of two"] = await ask(harness, "POST", "/email/batch", [postmark[1], wrong])
    live["holdMailbox", "wished"] = await ask(harness, "POST", f"/mailboxes/{MAILBOX}/hold", {"reason": "audit"})
    live["releaseMailbox", "wished"] = await ask(harness, "POST", f"/mailboxes/{MAILBOX}/release")


async def _keys(harness: Harness, live: dict[tuple[str, str], Any]) -> None:
    live["createKey", "made"] = made = await ask(harness, "POST", "/keys", request_example("createKey", "a shop"))
    path = f"/keys/{made['id']}"
    used = await harness.caller.get("/emails", headers={"authorization": f"Bearer {made['key']}"})
    assert used.status_code == 200, used.text

    async def is_used() -> bool:
        return (await ask(harness, "GET", path))["last_used_at"] is not None

    await until(is_used)
    live["getKey", "in use"] = await ask(harness, "GET", path)
    await ask(harness, "PATCH", path, {"messages_per_day": 0})
    live["reviseKey", "changed"] = await ask(harness, "PATCH", path, {"messages_per_day": 5000})
    live["listAudit", "one"] = _first(await ask(harness, "GET", "/audit?limit=100"))
    keys = await ask(harness, "GET", "/keys")
    live["listKeys", "one"] = {**keys, "data": [key for key in keys["data"] if key["id"] == made["id"]]}
    live["rotateKey", "rotated"] = await ask(harness, "POST", f"{path}/rotate")
    live["revokeKey", "revoked"] = await ask(harness, "DELETE", path)


async def _suppressions(harness: Harness, live: dict[tuple[str, str], Any]) -> None:
    address, batch = request_example("addSuppression", "an address"), request_example("addSuppressions", "two")
    live["addSuppression", "added"] = added = await ask(harness, "POST", "/suppressions", address)
    live["removeSuppression", "removed"] = await ask(harness, "DELETE", f"/suppressions/{added['id']}")
    live["addSuppressions", "added"] = await ask(harness, "POST", "/suppressions/batch/add", batch)
    one = {"emails": [address["email"]]}
    live["removeSuppressions", "removed"] = await ask(harness, "POST", "/suppressions/batch/remove", one)


def _first(page: Json) -> Json:
    return {**page, "data": page["data"][:1]}


async def _held(harness: Harness, live: dict[tuple[str, str], Any]) -> None:
    """A mailbox whose login is refused."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox"))
    await harness.post()
    await harness.until_health("held")
    page = await ask(harness, "GET", "/mailboxes")
    assert page["data"][0].pop("credential")["what"] == "password"  # of which the example has none
    live["listMailboxes", "one is held"] = {**page, "data": [{**page["data"][0], "credential": None}]}
    async with httpx.AsyncClient(base_url=harness.url) as anybody:
        live["getReadiness", "a mailbox is held"] = (await anybody.get("/readyz")).json()
