"""POST /emails/validate: what POST /emails would do, without doing it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.store.keys.records import Permission
from tests.contract.api.server import MINIMAL, ApiServer, Json, accepted, changed, open_server, refused

PATH = "/emails/validate"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("validate")) as server:
        yield server


def validated(server: ApiServer, body: Any) -> Json:
    """The answer to a good email; nothing of it was kept."""
    kept = server.count()
    response = server.post(body, PATH)
    assert response.status_code == 200, response.text
    assert server.count() == kept
    answer: Json = response.json()
    assert (answer["object"], answer["valid"], answer["pool"]) == ("validation", True, "main")
    return answer


def test_a_good_email(server: ApiServer) -> None:
    """Its size is the one it has once it is sent. No mailbox is known here, so nobody can say when it would go."""
    answer = validated(server, MINIMAL)
    content = server.run(server.store.content(UUID(server.send())))
    assert answer["size"] == len(content or b"")
    assert (answer["scheduled_at"], answer["estimated_send_at"]) == (None, None)


def test_a_scheduled_one(server: ApiServer) -> None:
    """Goes at its time."""
    answer = validated(server, changed(scheduled_at="in 1 hour"))
    assert answer["estimated_send_at"] == answer["scheduled_at"]
    assert datetime.fromisoformat(answer["scheduled_at"]).timestamp() > server.clock.now() + 3590


@pytest.mark.parametrize(
    "body",
    [
        changed(to="nope"),
        changed(subject=...),
        changed(from_="x@elsewhere.example"),
        changed(attachments=[{"content": "?"}]),
        changed(text="x" * 1_100_000),
        changed(scheduled_at="tomorrow"),
        [],
        b"{",
    ],
)
def test_a_bad_one(server: ApiServer, body: Any) -> None:
    """The same answer as POST /emails, but for the request's id."""
    validating, sending = server.post(body, PATH), server.post(body)
    assert validating.status_code == sending.status_code >= 400
    assert validating.json() | {"request_id": ""} == sending.json() | {"request_id": ""}


def test_it_uses_no_idempotency_key(server: ApiServer) -> None:
    """The key is free for the email itself."""
    once = str(uuid4())
    assert server.post(changed(subject="Another"), PATH, Idempotency_Key=once).status_code == 200
    accepted(server.post(MINIMAL, Idempotency_Key=once))


def test_who_may(server: ApiServer) -> None:
    """Whoever may send."""
    assert server.post(MINIMAL, PATH, key=server.make_key(Permission.SEND_ONLY)).status_code == 200
    refused(server.post(MINIMAL, PATH, key="pst_wrong"), 403, "invalid_api_key")
