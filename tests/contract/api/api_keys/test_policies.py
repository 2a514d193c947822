"""Policy of an API key over HTTP: lanes, recipients, redirection, sink, limits (case E4) and rate headers."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from app.api.auth.authenticator import digest, new_key
from app.clock import Clock
from app.mail.times import DAY
from app.store.keys.audit import AuditRecord
from app.store.keys.records import KeyRotation, Permission
from tests.contract.api.server import MINIMAL, SENDER, ApiServer, Json, accepted, changed, open_server, refused, small
from tests.contract.store.build import stored_emails

MINUTE_BEGAN = 1_800_000_000.0  # epoch seconds
SOON = 20.0  # seconds that a test waits for what is written beside the answers
RATES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@dataclass
class ClockTime:
    """Time of a ManualClock in epoch seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class ManualClock(Clock):
    """Clock that stands until the test moves it."""

    clock_time: ClockTime = field(default_factory=lambda: ClockTime(MINUTE_BEGAN))

    def now(self) -> float:
        """Return the set time."""
        return self.clock_time.at

    def monotonic(self) -> float:
        """The same: it is never moved back."""
        return self.clock_time.at


@pytest.fixture
def clock_time() -> ClockTime:
    """Time of the clock of `still`."""
    return ClockTime(MINUTE_BEGAN)


@pytest.fixture
def stopped_server(tmp_path: Path, clock_time: ClockTime) -> Iterator[ApiServer]:
    """Server with a stopped clock."""
    with open_server(
        tmp_path, clock=ManualClock(clock_time=clock_time), limits=small(attempts_per_minute=600)
    ) as server:
        yield server


def rates(response: httpx.Response) -> tuple[int, ...]:
    """Return limit, remaining and reset, which must be plain integers."""
    assert all(response.headers[name].isdecimal() for name in RATES), response.headers
    return tuple(int(response.headers[name]) for name in RATES)


def audit(server: ApiServer, times: int) -> list[AuditRecord]:
    """Return the audit once it has this many entries."""
    deadline = time.monotonic() + SOON
    found: list[AuditRecord] = []
    while sum(one.times for one in found) < times:
        assert time.monotonic() < deadline, found
        found = server.run(server.store.audit(None, 100))
    return found


def batch(count: int) -> list[Json]:
    """Return this many emails."""
    return [MINIMAL] * count


def test_another_lane_than_the_policy_allows_is_refused(server: ApiServer) -> None:
    """An email without a lane gets the first allowed one."""
    bulk = server.make_key(lanes=("bulk", "urgent"))
    for body in (changed(lane="normal"), changed(headers={"X-Postern-Lane": "normal"})):
        error = refused(server.post(body, key=bulk), 403, "validation_error", "lane")
        assert error["reason"] == "lane_not_allowed"
        assert "bulk or urgent" in error["message"]
    for lane in (..., "bulk", "urgent"):
        email = server.get(f"/emails/{accepted(server.post(changed(lane=lane), key=bulk))}", key=bulk).json()
        assert email["relay"]["lane"] == ("bulk" if lane is ... else lane)


def test_other_recipients_than_the_policy_allows_are_refused(server: ApiServer) -> None:
    """All are reported by field, and nothing is stored."""
    key, count = server.make_key(recipients=("*@contoso.com", "anna@example.com")), server.count()
    accepted(server.post(changed(cc="Bob <bob@contoso.com>"), key=key))
    body = changed(cc=["bob@contoso.com", "eve@example.com"], bcc="eve@example.net")
    error = refused(server.post(body, key=key), 403, "validation_error", "cc[1]")
    assert error["reason"] == "recipient_not_allowed"
    assert [detail["field"] for detail in error["details"]] == ["cc[1]", "bcc[0]"]
    assert "*@contoso.com, anna@example.com" in error["message"]
    assert server.count() == count + 1


def test_a_redirecting_key_sends_to_one_address(server: ApiServer) -> None:
    """The original recipients are in a header; the caller reads the email as submitted."""
    key = server.make_key(redirect_to="staging@contoso.com")
    body = changed(cc="bob@example.net", bcc="eve@example.org", headers={"X-Postern-Original-To": "forged@x.example"})
    id_ = accepted(server.post(body, key=key))
    message = server.message(id_)
    assert (message["to"], message["cc"], message["subject"]) == ("staging@contoso.com", None, "[redirected] Hello")
    assert message.get_all("x-postern-original-to") == ["anna@example.com, bob@example.net, eve@example.org"]
    email = server.get(f"/emails/{id_}", key=key).json()
    assert (email["to"], email["cc"], email["subject"]) == (["anna@example.com"], ["bob@example.net"], "Hello")
    assert [one["address"] for one in email["relay"]["recipients"]] == ["staging@contoso.com"]


@pytest.mark.parametrize(
    "name",
    [
        *("Disposition-Notification-To", "return-receipt-to", "X-Confirm-Reading-To", "Errors-To", "Mail-Followup-To"),
        *("Mail-Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Owner", "List-Help", "X-Reply-To"),
    ],
)
def test_a_redirected_email_has_no_other_address_in_its_headers(server: ApiServer, name: str) -> None:
    """A reply, a receipt or a click in staging must not reach the real sender's contacts."""
    headers = {name: "<mailto:real@contoso.com>" if name.startswith("List") else "real@contoso.com", "X-Kept": "1"}
    body = changed(reply_to="real@contoso.com", headers=headers | {"In-Reply-To": "<a@x.com>", "List-Id": "<l.x.com>"})
    message = server.message(accepted(server.post(body, key=server.make_key(redirect_to="staging@contoso.com"))))
    assert "real@contoso.com" not in message.as_string()
    assert name not in message
    assert (message["x-kept"], message["in-reply-to"], message["list-id"]) == ("1", "<a@x.com>", "<l.x.com>")
    assert "real@contoso.com" in server.message(accepted(server.post(body))).as_string()
    header = changed(headers={"Reply-To": "real@contoso.com"})
    redirected = accepted(server.post(header, key=server.make_key(redirect_to="staging@contoso.com")))
    assert "reply-to" not in server.message(redirected)


def test_an_email_of_a_sink_is_cancelled_and_readable(server: ApiServer) -> None:
    """Also a scheduled one; its explanation names the sink."""
    key = server.make_key(sink=True)
    for scheduled_at in (..., "in 1 hour"):
        id_ = accepted(server.post(changed(scheduled_at=scheduled_at), key=key))
        email = server.get(f"/emails/{id_}", key=key).json()
        assert (email["last_event"], email["relay"]["state"], email["text"]) == ("canceled", "cancelled", "Hi Anna")
        assert "sink" in email["relay"]["explanation"]["summary"]
        refused(server.post(path=f"/emails/{id_}/cancel", key=key), 422, "validation_error")
        full = server.make_key(Permission.FULL_ACCESS)
        refused(server.post(path=f"/emails/{id_}/retry", key=full), 422, "validation_error")
    states = [one.state for one in server.run(stored_emails(server.store, limit=2))]
    assert states == ["cancelled", "cancelled"]


def test_validate_applies_the_policy_without_counting(server: ApiServer) -> None:
    key = server.make_key(lanes=("bulk",), messages_per_minute=1, recipients=("*@example.com",))
    for _ in range(3):
        assert server.post(MINIMAL, "/emails/validate", key).status_code == 200
    error = refused(server.post(changed(lane="urgent"), "/emails/validate", key), 403, "validation_error", "lane")
    assert error["reason"] == "lane_not_allowed"


def test_e4_the_limit_per_minute(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """429 rate_limit_exceeded with four integers until the minute ends. Nothing is stored or counted."""
    key = stopped_server.make_key(messages_per_minute=2, messages_per_day=100)
    clock_time.at = MINUTE_BEGAN + 20
    assert rates(stopped_server.post(MINIMAL, key=key)) == (2, 1, 40)
    assert rates(stopped_server.post(MINIMAL, key=key)) == (2, 0, 40)
    for _ in range(3):
        response = stopped_server.post(MINIMAL, key=key)
        error = refused(response, 429, "rate_limit_exceeded")
        assert "2 messages a minute, and 0 of them are left" in error["message"]
        assert rates(response) == (2, 0, 40)
        assert response.headers["retry-after"] == "40"
    assert stopped_server.count() == 2
    clock_time.at = MINUTE_BEGAN + 60
    assert rates(stopped_server.post(MINIMAL, key=key)) == (2, 1, 60)


def test_e4_the_limit_per_day(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """429 daily_quota_exceeded until midnight UTC."""
    key, midnight = stopped_server.make_key(messages_per_minute=9, messages_per_day=3), (MINUTE_BEGAN // DAY + 1) * DAY
    for _ in range(3):
        accepted(stopped_server.post(MINIMAL, key=key))
    response = stopped_server.post(MINIMAL, key=key)
    refused(response, 429, "daily_quota_exceeded")
    assert rates(response) == (3, 0, midnight - MINUTE_BEGAN)
    assert int(response.headers["retry-after"]) == midnight - MINUTE_BEGAN
    clock_time.at = midnight
    accepted(stopped_server.post(MINIMAL, key=key))


def test_a_batch_over_the_limit_is_refused_whole(stopped_server: ApiServer) -> None:
    """The error of a batch that can never fit says so."""
    key = stopped_server.make_key(messages_per_minute=5)
    assert rates(stopped_server.post(batch(3), "/emails/batch", key))[1] == 2
    error = refused(stopped_server.post(batch(3), "/emails/batch", key), 429, "rate_limit_exceeded")
    assert "2 of them are left" in error["message"]
    error = refused(stopped_server.post(batch(6), "/emails/batch", key), 429, "rate_limit_exceeded")
    assert "send fewer in a request" in error["message"]
    permissive = stopped_server.post([MINIMAL, {}, MINIMAL], "/emails/batch", key, x_batch_validation="permissive")
    assert (permissive.status_code, rates(permissive)[1]) == (200, 0), "what is refused costs nothing"
    assert stopped_server.count() == 5


def letter(recipients: int, size: int = 1) -> Json:
    """Return an email with this many recipients over to, cc and bcc, and a text of this many bytes."""
    to = [f"a{n}@example.com" for n in range(recipients)]
    third = -(-recipients // 3)
    fields = {"to": to[:third], "cc": to[third : 2 * third], "bcc": to[2 * third :]}
    return changed(text="x" * 63 + "\n" if size < 64 else ("x" * 63 + "\n") * (size // 64), **fields)


@pytest.mark.parametrize(
    ("policy", "name", "reset"),
    [
        ({"recipients_per_minute": 100}, "rate_limit_exceeded", 60),
        ({"recipients_per_day": 100}, "daily_quota_exceeded", int(DAY - MINUTE_BEGAN % DAY)),
    ],
)
def test_the_limit_of_recipients_counts_to_cc_and_bcc(
    stopped_server: ApiServer, clock_time: ClockTime, policy: Json, name: str, reset: int
) -> None:
    """In one email and in a batch. Refused ones are neither stored nor counted."""
    key = stopped_server.make_key(**policy)
    accepted(stopped_server.post(letter(60), key=key))
    response = stopped_server.post(letter(41), key=key)
    error = refused(response, 429, name)
    assert "to 100 recipients a" in error["message"]
    assert "40 of them are left" in error["message"]
    assert "has 41" in error["message"]
    assert error["reason"] == "recipients_budget"
    assert int(response.headers["retry-after"]) == reset
    assert rates(response) == (1_000_000_000, 1_000_000_000, 60), "the headers are those of messages"
    assert stopped_server.post([letter(20), letter(21)], "/emails/batch", key).status_code == 429
    assert stopped_server.post([letter(20), letter(20)], "/emails/batch", key).status_code == 200
    assert stopped_server.count() == 3
    error = refused(stopped_server.post(letter(101), key=key), 429, name)
    assert "This request has 101 recipients" in error["message"]
    clock_time.at += reset
    accepted(stopped_server.post(letter(100), key=key))


def test_the_limit_of_bytes_counts_composed_messages(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """With headers and encoding: two of 40 kB fit into 100 kB, three do not."""
    key = stopped_server.make_key(bytes_per_minute=100_000, messages_per_minute=9)
    assert rates(stopped_server.post(letter(1, 40_000), key=key))[1] == 8
    accepted(stopped_server.post(letter(1, 40_000), key=key))
    response = stopped_server.post(letter(1, 40_000), key=key)
    error = refused(response, 429, "rate_limit_exceeded")
    assert error["reason"] == "bytes_budget"
    assert "100000 bytes a minute" in error["message"]
    assert rates(response)[:2] == (9, 7)
    email = {"From": SENDER, "To": "a@example.com", "Subject": "x", "TextBody": ("x" * 63 + "\n") * 625}
    assert stopped_server.post(email, "/email", key).status_code == 429
    clock_time.at += 60
    assert stopped_server.post(email, "/email", key).status_code == 200
    used = stopped_server.run(stopped_server.store.keys())
    assert [one.usage.in_day.messages for one in used if one.usage.in_day.messages] == [3]
    sizes = [40_000 < one.usage.in_minute.bytes < 42_000 for one in used if one.usage.in_day.messages]
    assert sizes == [True]


def test_an_idempotent_repetition_is_not_counted(stopped_server: ApiServer) -> None:
    """It is answered with no quota left, and a refusal does not use an Idempotency-Key."""
    key = stopped_server.make_key(messages_per_minute=1)
    first = accepted(stopped_server.post(MINIMAL, key=key, Idempotency_Key="one"))
    assert accepted(stopped_server.post(MINIMAL, key=key, Idempotency_Key="one")) == first
    refused(stopped_server.post(MINIMAL, key=key, Idempotency_Key="two"), 429, "rate_limit_exceeded")
    refused(
        stopped_server.post(changed(subject="x"), key=key, Idempotency_Key="one"), 409, "invalid_idempotent_request"
    )
    assert stopped_server.count() == 1


def test_a_refused_email_is_not_counted(stopped_server: ApiServer) -> None:
    """For every reason."""
    key = stopped_server.make_key(messages_per_minute=2, lanes=("bulk",))
    for body in (changed(lane="urgent"), changed(to=...), b"{", changed(from_="x@elsewhere.example")):
        assert rates(stopped_server.post(body, key=key)) == (2, 2, 60)
    accepted(stopped_server.post(MINIMAL, key=key))


@pytest.mark.parametrize(
    ("policy", "limit"), [({}, 600), ({"messages_per_minute": 2}, 10), ({"messages_per_minute": 15}, 15)]
)
def test_validations_are_limited(stopped_server: ApiServer, clock_time: ClockTime, policy: Json, limit: int) -> None:
    """Valid and invalid ones. Other keys, the limit of messages and the next minute are not affected."""
    key, other = stopped_server.make_key(**policy), stopped_server.make_key()
    clock_time.at = MINUTE_BEGAN + 20
    for number in range(limit):
        body = changed(to=...) if number % 2 else MINIMAL
        assert stopped_server.post(body, "/emails/validate", key).status_code == (422 if number % 2 else 200)
    response = stopped_server.post(MINIMAL, "/emails/validate", key)
    assert refused(response, 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    assert response.headers["retry-after"] == "40"
    assert stopped_server.post(MINIMAL, "/emails/validate", other).status_code == 200
    assert stopped_server.run(stopped_server.store.audit(None, 9)) == []
    sent = stopped_server.post(MINIMAL, key=key)
    accepted(sent)  # validations hold up no send
    assert not policy or rates(sent)[1] == policy["messages_per_minute"] - 1
    clock_time.at = MINUTE_BEGAN + 60
    assert stopped_server.post(MINIMAL, "/emails/validate", key).status_code == 200


def test_reschedules_are_limited(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """Each writes the content again, so they share the limit of validations. A cancellation is not limited."""
    key = stopped_server.make_key(messages_per_minute=2)
    path = f"/emails/{accepted(stopped_server.post(changed(scheduled_at='in 1 hour'), key=key))}"
    for number in range(10):
        if number % 2:
            assert stopped_server.post(MINIMAL, "/emails/validate", key).status_code == 200
        else:
            assert moved(stopped_server, path, key).status_code == 200
    assert refused(moved(stopped_server, path, key), 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    clock_time.at += 60
    assert moved(stopped_server, path, key).status_code == 200
    assert stopped_server.post(path=f"{path}/cancel", key=key).status_code == 200


def moved(server: ApiServer, path: str, key: str) -> httpx.Response:
    """Return the response to another time."""
    headers = {"authorization": f"Bearer {key}"}
    return server.client.patch(path, json={"scheduled_at": "in 2 hours"}, headers=headers)


def test_refused_sends_are_limited(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """For every kind of refusal; the body is then not read. The limit ends with the minute."""
    key = stopped_server.make_key()
    for path, body in (("/emails", b"{"), ("/emails/batch", [{}]), ("/email", {"From": SENDER})):
        for _ in range(200):
            assert 400 <= stopped_server.post(body, path, key).status_code < 423
    for path in ("/emails", "/emails/batch", "/email", "/email/batch"):
        assert stopped_server.post(b"{", path, key).status_code == 429
    assert refused(stopped_server.post(MINIMAL, key=key), 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    accepted(stopped_server.post(MINIMAL, key=stopped_server.make_key()))
    clock_time.at += 60
    accepted(stopped_server.post(MINIMAL, key=key))


def test_processes_share_the_limits_of_a_key(tmp_path: Path) -> None:
    """The next lookup of the key reads the usage of other processes."""
    with open_server(tmp_path) as one, open_server(tmp_path) as other:
        key = one.make_key(messages_per_day=3)
        accepted(one.post(MINIMAL, key=key))
        assert rates(other.get("/emails", key=key))[1] == 2
        for _ in range(2):
            accepted(other.post(MINIMAL, key=key))
        refused(one.post(MINIMAL, key=key), 429, "daily_quota_exceeded")


def test_every_response_to_a_known_key_has_rate_headers(server: ApiServer) -> None:
    """Successes and errors of every layer. A response without a key has none."""
    key = server.make_key(messages_per_day=1000)
    answers = [
        server.post(MINIMAL, key=key),
        server.post(b"{", key=key),
        server.get("/emails", key=key),
        server.get(f"/emails/{uuid4()}", key=key),
        server.get("/emails?limit=x", key=key),
        server.get("/mailboxes", key=key),
        server.get("/domains", key=key),
        server.post({"From": SENDER, "To": "a@example.com", "Subject": "x", "TextBody": "x"}, "/email", key=key),
    ]
    assert {rates(answer)[0] for answer in answers} == {1000}
    assert rates(server.post(MINIMAL))[:2] == (1_000_000_000, 1_000_000_000), "a key without a budget"
    for bare in (server.get("/healthz"), server.post(MINIMAL, key="pst_wrong"), httpx.get(server.url + "/emails")):
        assert not {*RATES} & {*bare.headers}


def test_the_policy_applies_to_the_postmark_routes(stopped_server: ApiServer) -> None:
    """With Postmark's error codes."""
    key = stopped_server.make_key(messages_per_minute=1, lanes=("normal",), recipients=("*@example.com",))
    email = {"From": SENDER, "To": "a@example.com", "Subject": "x", "TextBody": "x"}
    assert stopped_server.post(email, "/email", key).json()["ErrorCode"] == 0
    over = stopped_server.post(email, "/email", key)
    assert (over.status_code, over.json()["ErrorCode"]) == (429, 429)
    assert rates(over)[1] == 0
    strange = stopped_server.post(email | {"To": "a@example.net"}, "/email", key)
    assert (strange.status_code, strange.json()["ErrorCode"]) == (422, 405)


def test_the_last_use_is_stored_once_a_minute(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """Not at each request, and not for a refused key."""
    secret = stopped_server.make_key()

    def last_used() -> float | None:
        found = stopped_server.run(stopped_server.store.find_key(digest(secret)))
        assert found is not None
        return found.last_used_at

    for later, written in ((0, 0), (30, 0), (61, 61), (100, 61), (200, 200)):
        clock_time.at = MINUTE_BEGAN + later
        for _ in range(3):
            accepted(stopped_server.post(MINIMAL, key=secret))
        deadline = time.monotonic() + SOON
        while last_used() != MINUTE_BEGAN + written:
            assert time.monotonic() < deadline


def test_a_rotated_key_has_two_secrets_for_a_while(stopped_server: ApiServer, clock_time: ClockTime) -> None:
    """The old one is refused after the overlap."""
    old, new = stopped_server.make_key(), new_key()
    id_ = accepted(stopped_server.post(MINIMAL, key=old))
    found = stopped_server.run(stopped_server.store.find_key(digest(old)))
    assert found is not None
    rotation = KeyRotation(found.key.id, digest(new), clock_time.at, clock_time.at + 100, None)
    assert stopped_server.run(stopped_server.store.rotate_key(rotation))
    for later, works in ((2, True), (99, True), (100, False)):
        clock_time.at = MINUTE_BEGAN + later
        assert stopped_server.get(f"/emails/{id_}", key=new).status_code == 200
        answer = stopped_server.get(f"/emails/{id_}", key=old)
        if works:
            assert answer.status_code == 200
        else:
            refused(answer, 403, "invalid_api_key")


def test_the_same_refusal_is_one_entry_of_the_audit(stopped_server: ApiServer) -> None:
    """With count, sentence, key and first request; also for unknown keys. Only sends are recorded."""
    key = stopped_server.make_key(messages_per_minute=1)
    accepted(stopped_server.post(MINIMAL, key=key))
    for _ in range(5):
        first = stopped_server.post(changed(to=...), key=key, X_Request_Id="the-first")
        stopped_server.post(MINIMAL, key=key)
        stopped_server.post(MINIMAL, key="pst_wrong")
        stopped_server.post(changed(to=...), "/emails/validate", key)
        stopped_server.get("/emails/x", key=key)
    entries = {record.entry.details["name"]: record for record in audit(stopped_server, 15)}
    assert entries.keys() == {"missing_required_field", "rate_limit_exceeded", "invalid_api_key"}
    assert {record.times for record in entries.values()} == {5}
    body = entries["missing_required_field"].entry
    assert body.details == {"status": 422, "name": first.json()["name"], "message": first.json()["message"]}
    assert (body.by.name, body.subject, body.action) == ("key of sending_access", "POST /emails", "send.refused")
    assert body.by.request_id == "the-first"
    assert (entries["invalid_api_key"].entry.by.name, entries["invalid_api_key"].entry.by.key_id) == (
        "no valid key",
        None,
    )


def test_items_of_a_permissive_batch_are_in_the_audit(stopped_server: ApiServer) -> None:
    """Each refused item, though the batch was answered with 200."""
    stopped_server.post([MINIMAL, changed(to=...), changed(to=...)], "/emails/batch", x_batch_validation="permissive")
    stopped_server.post([{"From": SENDER}], "/email/batch")
    (found,) = audit(stopped_server, 3)
    assert (found.entry.subject, found.times) == ("POST /emails/batch", 3)


def test_refusals_are_stored_at_a_stop_and_after_an_outage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_server(tmp_path) as server, closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        other.execute("ALTER TABLE audit RENAME TO away")
        refused(server.post(changed(to=...)), 422, "missing_required_field")
        deadline = time.monotonic() + SOON
        while "no such table: audit" not in "".join(capfd.readouterr()):
            assert time.monotonic() < deadline
        refused(server.post(changed(to=...)), 422, "missing_required_field")
        other.execute("ALTER TABLE away RENAME TO audit")
    with open_server(tmp_path) as server:
        refused(server.post(changed(subject="")), 422, "missing_required_field")
    with open_server(tmp_path) as server:
        assert sum(record.times for record in server.run(server.store.audit(None, 9))) == 3
