"""POST /emails/batch: cases B1 to B8, and its Idempotency-Key."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings, strategies

from app.store.keys.records import Permission
from tests.contract.api.http.test_fuzz import FIELDS, QUICK, VALUES
from tests.contract.api.server import MINIMAL, ApiServer, Json, accepted, changed, open_server, refused

BAD = changed(to="nope")


def batch(server: ApiServer, *items: Any, mode: str | None = None, **headers: str) -> httpx.Response:
    """POST these emails."""
    return server.post(
        list(items), "/emails/batch", **headers, **({} if mode is None else {"x_batch_validation": mode})
    )


def ids(response: httpx.Response) -> list[str]:
    """Return the ids of a success after a check of its form."""
    assert response.status_code == 200, response.text
    body: Json = response.json()
    assert not {"statusCode", "error"} & body.keys()
    assert all(str(UUID(one["id"])) == one["id"] for one in body["data"])
    return [one["id"] for one in body["data"]]


def errors(response: httpx.Response) -> list[Json]:
    """Return the errors of the items that were not stored."""
    body: list[Json] = response.json()["errors"]
    assert all(one.keys() == {"index", "message"} for one in body)
    return body


def subjects(server: ApiServer, found: list[str]) -> list[str]:
    """Return the subjects of these emails."""
    return [server.get(f"/emails/{id_}").json()["subject"] for id_ in found]


@pytest.mark.parametrize("mode", [None, "strict", "Strict", ""])
def test_b1_two(server: ApiServer, mode: str | None) -> None:
    """Ids in the order of the list; strict is the default."""
    response = batch(server, changed(subject="one"), changed(subject="two"), mode=mode)
    assert response.json().keys() == {"data"}
    assert subjects(server, ids(response)) == ["one", "two"]


def test_b1_a_hundred(server: ApiServer) -> None:
    """One commit, in order, with ascending ids."""
    found = ids(batch(server, *(changed(subject=str(number)) for number in range(100))))
    assert found == sorted(found)
    assert subjects(server, found[::33]) == ["0", "33", "66", "99"]


def test_b2_one_is_bad(server: ApiServer) -> None:
    """Strict: nothing is stored. The error is the first item's, and all bad items are named."""
    before = server.count()
    response = batch(server, MINIMAL, BAD, changed(subject=..., from_=5), "x")
    error = refused(response, 422, "validation_error", "[1].to[0]")
    assert [detail["field"] for detail in error["details"]] == ["[1].to[0]", "[2].from", "[2].subject", "[3]"]
    assert server.count() == before


@pytest.mark.parametrize(
    ("item", "status", "name", "message"),
    [
        (changed(subject=...), 422, "missing_required_field", "[1].subject: "),
        (changed(from_="x@elsewhere.example"), 403, "validation_error", "[1].from: x@elsewhere.example"),
        (changed(attachments=[{"content": "?"}]), 422, "invalid_attachment", "[1].attachments[0].content: "),
        (changed(text="x" * 1_100_000), 422, "validation_error", "[1]: Encoded for the mail"),
        (None, 422, "validation_error", "[1]: An email must be one JSON object, not null."),
    ],
)
def test_b2_every_kind_of_error(server: ApiServer, item: Any, status: int, name: str, message: str) -> None:
    """With the status, name and reason that the item alone would have."""
    error = refused(batch(server, MINIMAL, item), status, name)
    assert error["message"].startswith(message)
    if isinstance(item, dict):
        assert error.get("reason") == server.post(item).json().get("reason")


def test_b3_permissive(server: ApiServer) -> None:
    """The good items are stored, the others refused_items by index."""
    before = server.count()
    response = batch(server, BAD, changed(subject="one"), "x", changed(subject="two"), mode="permissive")
    assert subjects(server, ids(response)) == ["one", "two"]
    first, second = errors(response)
    assert (first["index"], second["index"]) == (0, 2)
    assert first["message"].startswith("[0].to[0]: ")
    assert second["message"] == "[2]: An email must be one JSON object, not a string."
    assert server.count() == before + 2


def test_b3_nothing_good(server: ApiServer) -> None:
    """The response is a success and uses no Idempotency-Key."""
    once = str(uuid4())
    response = batch(server, BAD, mode="permissive", Idempotency_Key=once)
    assert (ids(response), len(errors(response))) == ([], 1)
    assert len(ids(batch(server, MINIMAL, Idempotency_Key=once))) == 1


def test_b4_permissive_and_all_are_good(server: ApiServer) -> None:
    """`errors` is present and empty."""
    response = batch(server, MINIMAL, MINIMAL, mode="Permissive")
    assert (len(ids(response)), errors(response)) == (2, [])


@pytest.mark.parametrize("value", [[], [MINIMAL] * 101, {}, MINIMAL, None, "x", 5])
def test_b5_no_list_of_1_to_100(server: ApiServer, value: Any) -> None:
    """422 in either mode."""
    before = server.count()
    for mode in ("strict", "permissive"):
        refused(server.post(value, "/emails/batch", x_batch_validation=mode), 422, "validation_error")
    assert server.count() == before


def test_b5_another_mode(server: ApiServer) -> None:
    """Only two modes exist."""
    refused(batch(server, MINIMAL, mode="lenient"), 422, "validation_error", "x-batch-validation")


def test_b5_no_json(server: ApiServer) -> None:
    """As for a single email."""
    refused(server.post(b"[{", "/emails/batch"), 400, "validation_error")


def test_b6_the_same_again(server: ApiServer) -> None:
    """One Idempotency-Key for the whole batch: the same ids in the same order, and nothing more is stored."""
    once = str(uuid4())
    items = [changed(subject=subject) for subject in ("b", "a", "c")]
    first = ids(batch(server, *items, Idempotency_Key=once))
    before = server.count()
    turned = [dict(reversed(item.items())) for item in items]
    assert ids(batch(server, *turned, Idempotency_Key=once)) == first
    assert server.count() == before
    refused(batch(server, *reversed(items), Idempotency_Key=once), 409, "invalid_idempotent_request")


def test_b6_permissive_again(server: ApiServer) -> None:
    """The same errors, too."""
    once = str(uuid4())
    first, again = (
        batch(server, BAD, MINIMAL, "x", MINIMAL, mode="permissive", Idempotency_Key=once).json() for _ in range(2)
    )
    assert first == again
    assert len(first["data"]) == len(first["errors"]) == 2


def test_b6_an_error_does_not_use_up_the_key(server: ApiServer) -> None:
    """I5 for a batch: the corrected batch may use the same key."""
    once = str(uuid4())
    refused(batch(server, MINIMAL, BAD, Idempotency_Key=once), 422, "validation_error")
    assert len(ids(batch(server, MINIMAL, MINIMAL, Idempotency_Key=once))) == 2


def test_b6_concurrent(server: ApiServer) -> None:
    """I3 for a batch: exactly one is stored."""
    once, before = str(uuid4()), server.count()
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda _: batch(server, *[MINIMAL] * 20, Idempotency_Key=once), range(4))]
    for answer in answers:
        if answer.status_code != 200:
            refused(answer, 409, "concurrent_idempotent_requests")
    assert len({tuple(ids(answer)) for answer in answers if answer.status_code == 200}) == 1
    assert server.count() == before + 20


def test_i7_another_endpoint(server: ApiServer) -> None:
    """The same Idempotency-Key at /emails is another one."""
    once = str(uuid4())
    single = accepted(server.post(MINIMAL, Idempotency_Key=once))
    assert ids(batch(server, MINIMAL, Idempotency_Key=once)) != [single]


def test_i8_a_restart(tmp_path: Path) -> None:
    """A batch is remembered over a restart."""
    with open_server(tmp_path) as server:
        secret = server.key
        first = ids(batch(server, MINIMAL, MINIMAL, Idempotency_Key="once"))
    with open_server(tmp_path) as server:
        assert ids(batch(server, MINIMAL, MINIMAL, key=secret, Idempotency_Key="once")) == first
        assert server.count() == 2


def test_b7_each_has_its_own_time(server: ApiServer) -> None:
    """An extension of Resend's API, which has no schedule in a batch."""
    now, later = ids(batch(server, MINIMAL, changed(scheduled_at="in 1 hour")))
    assert server.get(f"/emails/{now}").json()["last_event"] == "queued"
    shown = server.get(f"/emails/{later}").json()
    assert (shown["last_event"], shown["relay"]["state"]) == ("scheduled", "queued")


def test_b8_merge_metadata(server: ApiServer) -> None:
    """As django-anymail sends it: the same Message-ID in every item, each with its own headers and tags."""
    items = [
        changed(
            to=[to],
            headers={"Message-ID": "<one@contoso.com>", "X-Metadata": json.dumps({"user": number})},
            tags=[{"name": "user", "value": str(number)}],
        )
        for number, to in enumerate(("anna@example.com", "bob@example.com"))
    ]
    found = ids(batch(server, *items))
    assert len(set(found)) == 2
    for number, id_ in enumerate(found):
        message = server.message(id_)
        assert (message["Message-ID"], message["X-Metadata"]) == ("<one@contoso.com>", f'{{"user": {number}}}')
        assert server.get(f"/emails/{id_}").json()["tags"] == [{"name": "user", "value": str(number)}]


def test_a_batch_with_files(server: ApiServer) -> None:
    """An extension of Resend's API."""
    file = {"filename": "a.txt", "content": "aGk="}
    for id_ in ids(batch(server, changed(attachments=[file]), changed(attachments=[file]))):
        assert [part.get_content() for part in server.message(id_).iter_attachments()] == ["hi"]


def test_a_send_only_key_sends_batches(server: ApiServer) -> None:
    assert len(ids(batch(server, MINIMAL, key=server.make_key(Permission.SEND_ONLY)))) == 1


@settings(QUICK, max_examples=100)
@given(strategies.lists(strategies.dictionaries(FIELDS, VALUES, max_size=3).map(lambda more: MINIMAL | more) | VALUES))
def test_e5_any_items(server: ApiServer, items: list[Any]) -> None:
    """Both modes report the same errors of an item, and never 500."""
    own = server.make_key()  # refused sends are limited for each key
    permissive, strict = batch(server, *items, mode="permissive", key=own), batch(server, *items, key=own)
    if not 1 <= len(items) <= 100 or permissive.status_code != 200:
        refused(strict, strict.status_code, "validation_error")
    elif refused_items := errors(permissive):
        assert len(ids(permissive)) + len(refused_items) == len(items)
        assert strict.json()["message"] == refused_items[0]["message"]
    else:
        assert len(ids(strict)) == len(ids(permissive)) == len(items)
