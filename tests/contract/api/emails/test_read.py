"""GET /emails/{id}: cases R1, R2, R3 and R5, and the `relay` object in each state."""

import json
import re
from uuid import UUID, uuid4

import pytest

from app.mail.lifecycle import Event, RecipientOutcome, RecipientState, Settlement
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation
from app.store.keys.records import Permission
from app.store.records import AttemptLog, Claimed
from tests.contract.api.server import ApiServer, Json, accepted, changed, open_server, refused
from tests.contract.store import build

KEYS = [
    "object",
    "id",
    "message_id",
    "from",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "subject",
    "html",
    "text",
    "created_at",
    "last_event",
    "scheduled_at",
    "tags",
    "relay",
]


def show(server: ApiServer, id_: str) -> Json:
    """Return the email as its own key reads it."""
    response = server.get(f"/emails/{id_}")
    assert response.status_code == 200, response.text
    shown: Json = response.json()
    assert not {"statusCode", "error"} & shown.keys()
    return shown


def test_r1_a_body_on_get(server: ApiServer) -> None:
    """Python's SDK sends one; it is ignored, whatever it is."""
    id_ = server.send()
    for content in (b"{}", b"{", b"x" * 100_000):
        assert server.client.request("GET", f"/emails/{id_}", content=content).status_code == 200


def test_r2_all_keys(server: ApiServer) -> None:
    """Always present, for strict parsers."""
    id_ = server.send(html="<p>Hi</p>", from_="Contoso <noreply@contoso.com>", to=["Doe, John <j@example.com>"])
    shown = show(server, id_)
    assert list(shown) == KEYS
    assert shown["object"] == "email"
    assert shown["id"] == id_
    assert shown["from"] == "Contoso <noreply@contoso.com>"
    assert shown["to"] == ['"Doe, John" <j@example.com>']
    assert shown["cc"] == shown["bcc"] == shown["reply_to"] == shown["tags"] == []
    assert (shown["html"], shown["text"]) == ("<p>Hi</p>", "Hi Anna")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created_at"])
    assert shown["last_event"] == "queued"
    assert shown["scheduled_at"] is None
    assert shown["message_id"] == f"<{id_}@contoso.com>"


def test_r2_a_text_file_is_not_the_text(server: ApiServer) -> None:
    """Only the body parts of the message are."""
    file = {"filename": "notes.txt", "content": "aGk=", "content_type": "text/plain"}
    shown = show(server, server.send(text="", html="<p>Grüße</p>", attachments=[file]))
    assert (shown["html"], shown["text"]) == ("<p>Grüße</p>", None)


def test_r2_head(server: ApiServer) -> None:
    """HEAD is GET without the body (RFC 9110 §9.3.2)."""
    response = server.client.head(f"/emails/{server.send()}")
    assert (response.status_code, response.content) == (200, b"")


def test_r3_unknown(server: ApiServer) -> None:
    """404 for a UUID, 422 for anything else."""
    refused(server.get(f"/emails/{uuid4()}"), 404, "not_found")
    refused(server.get("/emails/nope"), 422, "invalid_parameter", "id")


def test_r5_of_another_key(server: ApiServer) -> None:
    """404, as if there were none."""
    id_ = server.send()
    other = refused(server.get(f"/emails/{id_}", key=server.make_key()), 404, "not_found")
    none = refused(server.get(f"/emails/{uuid4()}"), 404, "not_found")
    assert re.sub(r"\S{36}", "", other["message"]) == re.sub(r"\S{36}", "", none["message"])


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def] # a generator of ApiServer
    """Server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("quiet")) as server:
        yield server


def claim(server: ApiServer, id_: str) -> Claimed:
    """Claim as a worker does."""
    now = server.clock.now()
    claimed = server.run(build.claim(server.store, 100, now, pool="main"))
    return next(one for one in claimed if one.id == UUID(id_))


def settle(
    server: ApiServer, claimed: Claimed, event: Event, state: RecipientState, *, due_in: float | None = None
) -> None:
    """Settle as a worker does: the attempt ended with this reply for every recipient."""
    now = server.clock.now()
    reply = "250 2.0.0 OK" if state is RecipientState.RELAYED else "451 4.7.500 Server busy"
    outcomes = {address: RecipientOutcome(state, reply) for address in claimed.envelope.rcpt_to}
    why = None if state is RecipientState.RELAYED else Explanation("Exchange is busy.", "Nothing to do.")
    settlement = Settlement(event, None if due_in is None else now + due_in, outcomes, False, why)
    record = AttemptLog(
        ended_at=now,
        phase=Phase.DOT,
        failure=None if state is RecipientState.RELAYED else FailureKind.CLOSED,
        detail=None if state is RecipientState.RELAYED else "The server closed the connection.",
        replies=(reply,),
        verdicts=dict.fromkeys(outcomes, "a rule"),
        dialogue=(Line("C", "MAIL FROM:<noreply@contoso.com>"), Line("S", reply)),
    )
    assert server.run(server.store.settle(claimed, settlement, record))


def test_the_relay_object_in_each_state(quiet_server: ApiServer) -> None:
    """Queued, in flight, deferred, sent: all read from the store."""
    id_ = quiet_server.send()
    relay = show(quiet_server, id_)["relay"]
    assert (relay["state"], relay["pool"], relay["mailbox"], relay["attempts"]) == ("queued", "main", None, [])
    assert relay["recipients"] == [{"address": "anna@example.com", "state": "pending", "reply": None}]

    claimed = claim(quiet_server, id_)
    shown = show(quiet_server, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("queued", "active")
    assert shown["relay"]["next_attempt_at"] is None
    (attempt,) = shown["relay"]["attempts"]
    assert (attempt["number"], attempt["ended_at"], attempt["failure"]) == (1, None, None)

    settle(quiet_server, claimed, Event.DEFER, RecipientState.PENDING, due_in=0)
    shown = show(quiet_server, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("delivery_delayed", "deferred")
    assert shown["relay"]["next_attempt_at"] is not None
    assert shown["relay"]["explanation"] == {"summary": "Exchange is busy.", "fix": "Nothing to do."}
    (attempt,) = shown["relay"]["attempts"]
    assert attempt["failure"] == {"kind": "closed", "detail": "The server closed the connection."}
    assert attempt["dialogue"] == ["C: MAIL FROM:<noreply@contoso.com>", "S: 451 4.7.500 Server busy"]
    assert attempt["verdict"] == {"anna@example.com": "a rule"}
    assert (attempt["phase"], attempt["replies"]) == ("dot", ["451 4.7.500 Server busy"])

    settle(quiet_server, claim(quiet_server, id_), Event.FINISH, RecipientState.RELAYED)
    shown = show(quiet_server, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("sent", "done")
    assert [attempt["number"] for attempt in shown["relay"]["attempts"]] == [1, 2]
    assert shown["relay"]["possible_duplicate"] is False
    assert "has accepted the email" in shown["relay"]["explanation"]["summary"]


def test_a_full_access_key_reads_emails_of_a_send_only_key(server: ApiServer) -> None:
    id_ = accepted(server.post(changed(subject="Ünï"), key=server.make_key(Permission.SEND_ONLY)))
    response = server.get(f"/emails/{id_}", key=server.make_key(Permission.FULL_ACCESS))
    assert json.loads(response.content)["subject"] == "Ünï"
