"""Emails to suppressed addresses over HTTP: their state, their validation, and the key's exemption."""

from collections.abc import Iterator

import pytest

from app.mail.message.message import Lane
from app.store.keys.records import Permission
from tests.contract.api.emails.test_retry import claim, settle
from tests.contract.api.server import ApiServer, accepted, changed, open_server, refused
from tests.contract.store import build

GONE = "Gone@Example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server with one suppressed address, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("suppressed")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        assert server.post({"email": "gone@example.com"}, "/suppressions").status_code == 201
        yield server


def test_an_email_to_a_suppressed_address_alone_has_failed(server: ApiServer) -> None:
    """At once, with an explanation. It is not retryable."""
    id_ = server.send(to=GONE)
    email = server.get(f"/emails/{id_}").json()
    assert (email["last_event"], email["relay"]["state"]) == ("failed", "done")
    (recipient,) = email["relay"]["recipients"]
    assert (recipient["address"], recipient["state"]) == ("Gone@example.com", "suppressed")
    assert "suppression list" in recipient["reply"]
    assert "suppression list" in email["relay"]["explanation"]["summary"]
    assert id_ in [one["id"] for one in server.get("/emails?last_event=failed").json()["data"]]
    message = refused(server.post(path=f"/emails/{id_}/retry"), 422, "validation_error")["message"]
    assert "Gone@example.com. To lift it, remove the address (DELETE /suppressions/{address}" in message


def test_a_retry_warns_of_recipients_that_stay_suppressed(server: ApiServer) -> None:
    """Those alone; others are sent to. Without any there is no warning, and a policy may exempt the lane."""
    exempt = server.make_key(ignore_suppressions=(Lane.NORMAL,))
    asked = changed(to=["later@example.com", "there@example.com"])
    ids = []
    for key in (None, exempt):
        ids.append(accepted(server.post(asked, key=key)))
        settle(server, claim(server, ids[-1]), build.REFUSED)
    assert server.post({"email": "later@example.com"}, "/suppressions").status_code == 201
    first, second = [server.post(path=f"/emails/{id_}/retry").json() for id_ in ids]
    (warning,) = first["warnings"]
    assert warning["field"] == "relay.recipients"
    assert "not sent to: later@example.com. To lift it" in warning["message"]
    assert "there@example.com" not in warning["message"]
    assert second == {"object": "email", "id": ids[1]}


def test_the_other_recipients_wait(server: ApiServer) -> None:
    """Also of a batch, each email for itself."""
    answer = server.post([changed(to=[GONE, "there@example.com"]), changed(bcc=[GONE])], "/emails/batch")
    for one in answer.json()["data"]:
        email = server.get(f"/emails/{one['id']}").json()
        assert email["last_event"] == "queued"
        assert sorted(it["state"] for it in email["relay"]["recipients"]) == ["pending", "suppressed"]


def test_a_validation_says_so_before(server: ApiServer) -> None:
    """With the recipients; no time is estimated if no recipient is left."""
    some = server.post(changed(to=[GONE, "there@example.com"], scheduled_at="in 1 hour"), "/emails/validate").json()
    assert some["suppressed"] == [{"email": "Gone@example.com", "origin": "manual"}]
    assert some["estimated_send_at"] is not None
    all_ = server.post(changed(to=GONE, scheduled_at="in 1 hour"), "/emails/validate").json()
    assert (all_["valid"], all_["estimated_send_at"]) == (True, None)
    assert server.post(changed(), "/emails/validate").json()["suppressed"] == []


def test_a_policy_exempts_a_lane(server: ApiServer) -> None:
    """That lane alone."""
    key = server.make_key(ignore_suppressions=(Lane.URGENT,))
    for lane, state in (("urgent", "pending"), ("normal", "suppressed")):
        answer = server.post(changed(to=GONE, lane=lane), key=key)
        (recipient,) = server.get(f"/emails/{answer.json()['id']}").json()["relay"]["recipients"]
        assert recipient["state"] == state


def test_the_exemption_is_a_member_of_the_key(server: ApiServer) -> None:
    """Created, changed, removed; a wrong lane is refused."""
    made = server.post({"name": "codes", "ignore_suppressions": ["urgent", "urgent"]}, "/keys").json()
    assert made["ignore_suppressions"] == ["urgent"]
    path = f"/keys/{made['id']}"
    assert server.client.patch(path, json={"ignore_suppressions": []}).json()["ignore_suppressions"] == []
    answer = server.client.patch(path, json={"ignore_suppressions": ["express"]})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "ignore_suppressions")


def test_a_redirected_email_is_checked_by_its_new_recipient(server: ApiServer) -> None:
    """The original recipients get nothing."""
    key = server.make_key(redirect_to="staging@example.com")
    answer = server.post(changed(to=GONE), key=key)
    (recipient,) = server.get(f"/emails/{answer.json()['id']}").json()["relay"]["recipients"]
    assert (recipient["address"], recipient["state"]) == ("staging@example.com", "pending")


def test_suppressed_recipients_are_counted(server: ApiServer) -> None:
    """By the origin of the entry."""
    name = 'postern_recipients_suppressed_total{origin="manual"}'

    def count() -> float:
        lines = server.inside("/metrics").text.splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = count()
    server.send(to=[GONE, "there@example.com"])
    assert count() == before + 1
