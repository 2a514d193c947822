"""POST /emails/validate: the response of POST /emails, without an email."""

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
    """Server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("validate")) as server:
        yield server


def validated(server: ApiServer, body: Any) -> Json:
    """Return the response to a valid email after a check that nothing was stored."""
    before = server.count()
    response = server.post(body, PATH)
    assert response.status_code == 200, response.text
    assert server.count() == before
    answer: Json = response.json()
    assert (answer["object"], answer["valid"], answer["pool"]) == ("validation", True, "main")
    return answer


def test_a_valid_email_has_size_and_no_estimate_without_mailboxes(server: ApiServer) -> None:
    """The size is that of the message as sent."""
    answer = validated(server, MINIMAL)
    content = server.run(server.store.content(UUID(server.send())))
    assert answer["size"] == len(content or b"")
    assert (answer["scheduled_at"], answer["estimated_send_at"]) == (None, None)


def test_a_scheduled_email_has_its_time(server: ApiServer) -> None:
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
def test_an_invalid_email_has_the_error_of_post(server: ApiServer, body: Any) -> None:
    """But for the request id."""
    validating, sending = server.post(body, PATH), server.post(body)
    assert validating.status_code == sending.status_code >= 400
    assert validating.json() | {"request_id": ""} == sending.json() | {"request_id": ""}


def test_it_uses_no_idempotency_key(server: ApiServer) -> None:
    """The key stays free for the email."""
    once = str(uuid4())
    assert server.post(changed(subject="Another"), PATH, Idempotency_Key=once).status_code == 200
    accepted(server.post(MINIMAL, Idempotency_Key=once))


def test_any_key_that_may_send_may_validate(server: ApiServer) -> None:
    assert server.post(MINIMAL, PATH, key=server.make_key(Permission.SEND_ONLY)).status_code == 200
    refused(server.post(MINIMAL, PATH, key="pst_wrong"), 403, "invalid_api_key")
