"""What a key's policy does at the door: lanes, recipients, redirection, sink, budgets (case E4), rate headers."""

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
from app.store.keys.audit_records import AuditRecord
from app.store.keys.records import KeyRotation, Permission
from tests.contract.api.server import MINIMAL, SENDER, ApiServer, Json, accepted, changed, open_server, refused, small

MINUTE_BEGAN = 1_800_000_000.0  # epoch seconds
SOON = 20.0  # seconds that a test waits for what is written beside the answers
RATES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@dataclass
class Hand:
    """Where the hand of a clock stands (epoch seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class HandClock(Clock):
    """A clock that stands until its hand is moved."""

    hand: Hand = field(default_factory=lambda: Hand(MINUTE_BEGAN))

    def now(self) -> float:
        """Where the hand stands."""
        return self.hand.at

    def monotonic(self) -> float:
        """The same: it is never moved back."""
        return self.hand.at


@pytest.fixture
def hand() -> Hand:
    """The hand of the clock of `still`."""
    return Hand(MINUTE_BEGAN)


@pytest.fixture
def still(tmp_path: Path, hand: Hand) -> Iterator[ApiServer]:
    """A server whose time stands."""
    with open_server(tmp_path, clock=HandClock(hand=hand), limits=small(attempts_per_minute=600)) as server:
        yield server


def rates(response: httpx.Response) -> tuple[int, ...]:
    """Limit, remaining and reset, which are plain integers."""
    assert all(response.headers[name].isdecimal() for name in RATES), response.headers
    return tuple(int(response.headers[name]) for name in RATES)


def audit(server: ApiServer, times: int) -> list[AuditRecord]:
    """The audit, once it tells of so many things."""
    deadline = time.monotonic() + SOON
    found: list[AuditRecord] = []
    while sum(one.times for one in found) < times:
        assert time.monotonic() < deadline, found
        found = server.run(server.store.audit(None, 100))
    return found


def batch(count: int) -> list[Json]:
    """So many emails."""
    return [MINIMAL] * count


def test_a_key_is_confined_to_lanes(server: ApiServer) -> None:
    """Another is refused by name; an email that names none goes in the first that is allowed."""
    bulk = server.make_key(lanes=("bulk", "urgent"))
    for body in (changed(lane="normal"), changed(headers={"X-Postern-Lane": "normal"})):
        told = refused(server.post(body, key=bulk), 403, "validation_error", "lane")
        assert told["reason"] == "lane_not_allowed"
        assert "bulk or urgent" in told["message"]
    for lane in (..., "bulk", "urgent"):
        email = server.get(f"/emails/{accepted(server.post(changed(lane=lane), key=bulk))}", key=bulk).json()
        assert email["relay"]["lane"] == ("bulk" if lane is ... else lane)


def test_a_key_is_confined_to_recipients(server: ApiServer) -> None:
    """Everybody else is named by field, and nothing is kept for anybody."""
    key, count = server.make_key(recipients=("*@contoso.com", "anna@example.com")), server.count()
    accepted(server.post(changed(cc="Bob <bob@contoso.com>"), key=key))
    body = changed(cc=["bob@contoso.com", "eve@example.com"], bcc="eve@example.net")
    told = refused(server.post(body, key=key), 403, "validation_error", "cc[1]")
    assert told["reason"] == "recipient_not_allowed"
    assert [detail["field"] for detail in told["details"]] == ["cc[1]", "bcc[0]"]
    assert "*@contoso.com, anna@example.com" in told["message"]
    assert server.count() == count + 1


def test_a_key_redirects_everything(server: ApiServer) -> None:
    """To one address, with those who were meant in a header; the caller reads the email as it was handed in."""
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
def test_a_redirected_email_leads_to_nobody_else(server: ApiServer, name: str) -> None:
    """An answer, a receipt or a click in staging must not reach the people of the real sender."""
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


def test_a_sink_records_and_never_relays(server: ApiServer) -> None:
    """It is canceled, says why, and can be read; also what is scheduled."""
    key = server.make_key(sink=True)
    for scheduled_at in (..., "in 1 hour"):
        id_ = accepted(server.post(changed(scheduled_at=scheduled_at), key=key))
        email = server.get(f"/emails/{id_}", key=key).json()
        assert (email["last_event"], email["relay"]["state"], email["text"]) == ("canceled", "cancelled", "Hi Anna")
        assert "sink" in email["relay"]["explanation"]["summary"]
        refused(server.post(path=f"/emails/{id_}/cancel", key=key), 422, "validation_error")
        full = server.make_key(Permission.FULL_ACCESS)
        refused(server.post(path=f"/emails/{id_}/retry", key=full), 422, "validation_error")
    states = [one.state for one in server.run(server.store.find(None, limit=2))]
    assert states == ["cancelled", "cancelled"]


def test_validate_says_what_the_policy_says(server: ApiServer) -> None:
    """Without a count: it sends nothing."""
    key = server.make_key(lanes=("bulk",), messages_per_minute=1, recipients=("*@example.com",))
    for _ in range(3):
        assert server.post(MINIMAL, "/emails/validate", key).status_code == 200
    told = refused(server.post(changed(lane="urgent"), "/emails/validate", key), 403, "validation_error", "lane")
    assert told["reason"] == "lane_not_allowed"


def test_e4_the_budget_of_a_minute(still: ApiServer, hand: Hand) -> None:
    """429 rate_limit_exceeded with four integers, until the minute is over. Nothing was kept, nothing is counted."""
    key = still.make_key(messages_per_minute=2, messages_per_day=100)
    hand.at = MINUTE_BEGAN + 20
    assert rates(still.post(MINIMAL, key=key)) == (2, 1, 40)
    assert rates(still.post(MINIMAL, key=key)) == (2, 0, 40)
    for _ in range(3):
        response = still.post(MINIMAL, key=key)
        told = refused(response, 429, "rate_limit_exceeded")
        assert "2 messages a minute, and 0 of them are left" in told["message"]
        assert rates(response) == (2, 0, 40)
        assert response.headers["retry-after"] == "40"
    assert still.count() == 2
    hand.at = MINUTE_BEGAN + 60
    assert rates(still.post(MINIMAL, key=key)) == (2, 1, 60)


def test_e4_the_budget_of_a_day(still: ApiServer, hand: Hand) -> None:
    """429 daily_quota_exceeded, until midnight UTC."""
    key, midnight = still.make_key(messages_per_minute=9, messages_per_day=3), (MINUTE_BEGAN // DAY + 1) * DAY
    for _ in range(3):
        accepted(still.post(MINIMAL, key=key))
    response = still.post(MINIMAL, key=key)
    refused(response, 429, "daily_quota_exceeded")
    assert rates(response) == (3, 0, midnight - MINUTE_BEGAN)
    assert int(response.headers["retry-after"]) == midnight - MINUTE_BEGAN
    hand.at = midnight
    accepted(still.post(MINIMAL, key=key))


def test_a_batch_counts_its_messages(still: ApiServer) -> None:
    """All of them or none: it is refused whole, and one that could never pass says so."""
    key = still.make_key(messages_per_minute=5)
    assert rates(still.post(batch(3), "/emails/batch", key))[1] == 2
    told = refused(still.post(batch(3), "/emails/batch", key), 429, "rate_limit_exceeded")
    assert "2 of them are left" in told["message"]
    told = refused(still.post(batch(6), "/emails/batch", key), 429, "rate_limit_exceeded")
    assert "send fewer in a request" in told["message"]
    permissive = still.post([MINIMAL, {}, MINIMAL], "/emails/batch", key, x_batch_validation="permissive")
    assert (permissive.status_code, rates(permissive)[1]) == (200, 0), "what is refused costs nothing"
    assert still.count() == 5


def letter(recipients: int, size: int = 1) -> Json:
    """An email to so many, spread over to, cc and bcc, whose text has so many bytes."""
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
def test_the_budget_of_recipients(still: ApiServer, hand: Hand, policy: Json, name: str, reset: int) -> None:
    """To, cc and bcc count together, in one email and in a batch; nothing of what is refused is kept or counted."""
    key = still.make_key(**policy)
    accepted(still.post(letter(60), key=key))
    response = still.post(letter(41), key=key)
    told = refused(response, 429, name)
    assert "to 100 recipients a" in told["message"]
    assert "40 of them are left" in told["message"]
    assert "has 41" in told["message"]
    assert told["reason"] == "recipients_budget"
    assert int(response.headers["retry-after"]) == reset
    assert rates(response) == (1_000_000_000, 1_000_000_000, 60), "the headers are those of messages"
    assert still.post([letter(20), letter(21)], "/emails/batch", key).status_code == 429
    assert still.post([letter(20), letter(20)], "/emails/batch", key).status_code == 200
    assert still.count() == 3
    told = refused(still.post(letter(101), key=key), 429, name)
    assert "This request has 101 recipients" in told["message"]
    hand.at += reset
    accepted(still.post(letter(100), key=key))


def test_the_budget_of_bytes(still: ApiServer, hand: Hand) -> None:
    """The composed messages count, headers and encoding with them: two of 40 kB have room in 100 kB, three have not."""
    key = still.make_key(bytes_per_minute=100_000, messages_per_minute=9)
    assert rates(still.post(letter(1, 40_000), key=key))[1] == 8
    accepted(still.post(letter(1, 40_000), key=key))
    response = still.post(letter(1, 40_000), key=key)
    told = refused(response, 429, "rate_limit_exceeded")
    assert told["reason"] == "bytes_budget"
    assert "100000 bytes a minute" in told["message"]
    assert rates(response)[:2] == (9, 7)
    email = {"From": SENDER, "To": "a@example.com", "Subject": "x", "TextBody": ("x" * 63 + "\n") * 625}
    assert still.post(email, "/email", key).status_code == 429
    hand.at += 60
    assert still.post(email, "/email", key).status_code == 200
    used = still.run(still.store.keys())
    assert [one.usage.in_day.messages for one in used if one.usage.in_day.messages] == [3]
    sizes = [40_000 < one.usage.in_minute.bytes < 42_000 for one in used if one.usage.in_day.messages]
    assert sizes == [True]


def test_a_repetition_costs_nothing(still: ApiServer) -> None:
    """It is answered though nothing is left; and a refusal uses up no Idempotency-Key."""
    key = still.make_key(messages_per_minute=1)
    first = accepted(still.post(MINIMAL, key=key, Idempotency_Key="one"))
    assert accepted(still.post(MINIMAL, key=key, Idempotency_Key="one")) == first
    refused(still.post(MINIMAL, key=key, Idempotency_Key="two"), 429, "rate_limit_exceeded")
    refused(still.post(changed(subject="x"), key=key, Idempotency_Key="one"), 409, "invalid_idempotent_request")
    assert still.count() == 1


def test_what_is_refused_costs_nothing(still: ApiServer) -> None:
    """Whatever it is refused for."""
    key = still.make_key(messages_per_minute=2, lanes=("bulk",))
    for body in (changed(lane="urgent"), changed(to=...), b"{", changed(from_="x@elsewhere.example")):
        assert rates(still.post(body, key=key)) == (2, 2, 60)
    accepted(still.post(MINIMAL, key=key))


@pytest.mark.parametrize(
    ("policy", "limit"), [({}, 600), ({"messages_per_minute": 2}, 10), ({"messages_per_minute": 15}, 15)]
)
def test_validations_are_limited(still: ApiServer, hand: Hand, policy: Json, limit: int) -> None:
    """Good ones and bad ones; other keys are not concerned, nor is the budget of messages, nor the next minute."""
    key, other = still.make_key(**policy), still.make_key()
    hand.at = MINUTE_BEGAN + 20
    for number in range(limit):
        body = changed(to=...) if number % 2 else MINIMAL
        assert still.post(body, "/emails/validate", key).status_code == (422 if number % 2 else 200)
    response = still.post(MINIMAL, "/emails/validate", key)
    assert refused(response, 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    assert response.headers["retry-after"] == "40"
    assert still.post(MINIMAL, "/emails/validate", other).status_code == 200
    assert still.run(still.store.audit(None, 9)) == []
    sent = still.post(MINIMAL, key=key)
    accepted(sent)  # validations hold up no send
    assert not policy or rates(sent)[1] == policy["messages_per_minute"] - 1
    hand.at = MINUTE_BEGAN + 60
    assert still.post(MINIMAL, "/emails/validate", key).status_code == 200


def test_reschedules_are_limited(still: ApiServer, hand: Hand) -> None:
    """Each writes the content again: as many as validations, and together with them; a cancellation always goes."""
    key = still.make_key(messages_per_minute=2)
    path = f"/emails/{accepted(still.post(changed(scheduled_at='in 1 hour'), key=key))}"
    for number in range(10):
        if number % 2:
            assert still.post(MINIMAL, "/emails/validate", key).status_code == 200
        else:
            assert moved(still, path, key).status_code == 200
    assert refused(moved(still, path, key), 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    hand.at += 60
    assert moved(still, path, key).status_code == 200
    assert still.post(path=f"{path}/cancel", key=key).status_code == 200


def moved(server: ApiServer, path: str, key: str) -> httpx.Response:
    """The answer to another time."""
    headers = {"authorization": f"Bearer {key}"}
    return server.client.patch(path, json={"scheduled_at": "in 2 hours"}, headers=headers)


def test_refused_sends_are_limited(still: ApiServer, hand: Hand) -> None:
    """In whatever shape; then the body is not even read. The next minute everything goes again."""
    key = still.make_key()
    for path, body in (("/emails", b"{"), ("/emails/batch", [{}]), ("/email", {"From": SENDER})):
        for _ in range(200):
            assert 400 <= still.post(body, path, key).status_code < 423
    for path in ("/emails", "/emails/batch", "/email", "/email/batch"):
        assert still.post(b"{", path, key).status_code == 429
    assert refused(still.post(MINIMAL, key=key), 429, "rate_limit_exceeded")["reason"] == "too_many_attempts"
    accepted(still.post(MINIMAL, key=still.make_key()))
    hand.at += 60
    accepted(still.post(MINIMAL, key=key))


def test_a_budget_is_one_over_processes(tmp_path: Path) -> None:
    """And what another has used is heard of with the next look at the key."""
    with open_server(tmp_path) as one, open_server(tmp_path) as other:
        key = one.make_key(messages_per_day=3)
        accepted(one.post(MINIMAL, key=key))
        assert rates(other.get("/emails", key=key))[1] == 2
        for _ in range(2):
            accepted(other.post(MINIMAL, key=key))
        refused(one.post(MINIMAL, key=key), 429, "daily_quota_exceeded")


def test_every_answer_to_a_known_key_bears_the_rates(server: ApiServer) -> None:
    """Successes and errors, whoever gives them; and none where there is no key."""
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


def test_postmark_has_the_same_policy(still: ApiServer) -> None:
    """In its own words."""
    key = still.make_key(messages_per_minute=1, lanes=("normal",), recipients=("*@example.com",))
    email = {"From": SENDER, "To": "a@example.com", "Subject": "x", "TextBody": "x"}
    assert still.post(email, "/email", key).json()["ErrorCode"] == 0
    over = still.post(email, "/email", key)
    assert (over.status_code, over.json()["ErrorCode"]) == (429, 429)
    assert rates(over)[1] == 0
    strange = still.post(email | {"To": "a@example.net"}, "/email", key)
    assert (strange.status_code, strange.json()["ErrorCode"]) == (422, 405)


def test_a_use_is_written_down_once_a_minute(still: ApiServer, hand: Hand) -> None:
    """Not at each request, and not for a key that is not let in."""
    secret = still.make_key()

    def last_used() -> float | None:
        found = still.run(still.store.find_key(digest(secret)))
        assert found is not None
        return found.last_used_at

    for later, written in ((0, 0), (30, 0), (61, 61), (100, 61), (200, 200)):
        hand.at = MINUTE_BEGAN + later
        for _ in range(3):
            accepted(still.post(MINIMAL, key=secret))
        deadline = time.monotonic() + SOON
        while last_used() != MINUTE_BEGAN + written:
            assert time.monotonic() < deadline


def test_a_rotated_key_has_two_secrets_for_a_while(still: ApiServer, hand: Hand) -> None:
    """Both are the same key; then the old one is no key at all."""
    old, new = still.make_key(), new_key()
    id_ = accepted(still.post(MINIMAL, key=old))
    found = still.run(still.store.find_key(digest(old)))
    assert found is not None
    rotation = KeyRotation(found.key.id, digest(new), hand.at, hand.at + 100, None)
    assert still.run(still.store.rotate_key(rotation))
    for later, works in ((2, True), (99, True), (100, False)):
        hand.at = MINUTE_BEGAN + later
        assert still.get(f"/emails/{id_}", key=new).status_code == 200
        answer = still.get(f"/emails/{id_}", key=old)
        if works:
            assert answer.status_code == 200
        else:
            refused(answer, 403, "invalid_api_key")


def test_the_same_refusal_is_one_entry_of_the_audit(still: ApiServer) -> None:
    """With how often, the sentence, the key and the first request; unknown keys too. What is no send is not there."""
    key = still.make_key(messages_per_minute=1)
    accepted(still.post(MINIMAL, key=key))
    for _ in range(5):
        first = still.post(changed(to=...), key=key, X_Request_Id="the-first")
        still.post(MINIMAL, key=key)
        still.post(MINIMAL, key="pst_wrong")
        still.post(changed(to=...), "/emails/validate", key)
        still.get("/emails/x", key=key)
    entries = {record.entry.details["name"]: record for record in audit(still, 15)}
    assert entries.keys() == {"missing_required_field", "rate_limit_exceeded", "invalid_api_key"}
    assert {record.times for record in entries.values()} == {5}
    told = entries["missing_required_field"].entry
    assert told.details == {"status": 422, "name": first.json()["name"], "message": first.json()["message"]}
    assert (told.by.name, told.subject, told.action) == ("key of sending_access", "POST /emails", "send.refused")
    assert told.by.request_id == "the-first"
    assert (entries["invalid_api_key"].entry.by.name, entries["invalid_api_key"].entry.by.key_id) == (
        "nobody known",
        None,
    )


def test_items_of_a_permissive_batch_are_in_the_audit(still: ApiServer) -> None:
    """Each that was refused, though the batch was answered with 200."""
    still.post([MINIMAL, changed(to=...), changed(to=...)], "/emails/batch", x_batch_validation="permissive")
    still.post([{"From": SENDER}], "/email/batch")
    (found,) = audit(still, 3)
    assert (found.entry.subject, found.times) == ("POST /emails/batch", 3)


def test_what_was_refused_is_written_down_at_a_stop_and_after_an_outage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost to either."""
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
