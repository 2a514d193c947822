"""Emails whose content, or everything, is past its retention."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from app.store.keys.records import Permission
from app.store.retention import RetentionCutoffs
from tests.contract.api.emails.test_retry import claim, decide, settle
from tests.contract.api.server import ApiServer, open_server, refused
from tests.contract.store import build

FILE = {"filename": "a.txt", "content": "aGk="}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server of its own, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("retention")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


@pytest.fixture
def failed(server: ApiServer) -> str:
    """Email that was refused, and whose content was removed since."""
    id_ = server.send(attachments=[FILE])
    settle(server, claim(server, id_), build.REFUSED)
    assert server.get(f"/emails/{id_}").json()["relay"]["content_removed_at"] is None
    now = server.clock.now()
    server.run(server.store.prune(RetentionCutoffs(now, contents=now, messages=0.0, events=0.0)))
    return id_


def test_it_reads_when_the_content_was_removed(server: ApiServer, failed: str) -> None:
    """All other data is there, and the explanation does not propose a retry, which is impossible."""
    shown = server.get(f"/emails/{failed}").json()
    assert (shown["html"], shown["text"], shown["subject"], shown["last_event"]) == (None, None, "Hello", "failed")
    assert shown["relay"]["content_removed_at"] is not None
    assert shown["relay"]["attempts"][0]["replies"] == ["550 5.7.1 No"]
    assert shown["relay"]["explanation"]["fix"].startswith("If it is still needed, submit it again")


def test_removed_files_are_404_with_the_reason(server: ApiServer, failed: str) -> None:
    """The content is missing, not the email."""
    for path in ("attachments", f"attachments/{UUID(int=1)}", f"attachments/{UUID(int=1)}/content"):
        body = refused(server.get(f"/emails/{failed}/{path}"), 404, "not_found")
        assert body["reason"] == "content_not_kept"


def test_a_retry_without_content_is_refused_with_the_fix(server: ApiServer, failed: str) -> None:
    body = refused(decide(server, failed, "retry"), 422, "validation_error")
    assert body["reason"] == "content_not_kept"
    assert (
        body["message"] == "The email is done. Its content is not kept any more, so it cannot be retried: send it anew."
    )


def test_a_deleted_email_is_not_found(server: ApiServer, failed: str) -> None:
    now = server.clock.now()
    server.run(server.store.prune(RetentionCutoffs(now, contents=now, messages=now, events=0.0)))
    refused(server.get(f"/emails/{failed}"), 404, "not_found")
    refused(decide(server, failed, "retry"), 404, "not_found")
