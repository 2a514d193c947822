"""Authorization matrix: every operation of the live specification with every kind of API key.

`TABLE` says which permission each operation needs, and what is answered to a key that has it. An operation that is not
in it fails a test, so a new route cannot be forgotten.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import httpx
import pytest

from app.api.auth.authenticator import digest, new_key
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.message.message import Lane
from app.store.keys.records import KeyRevision, KeyRotation, Permission
from tests.contract.api.server import MINIMAL, SENDER, ApiServer, check_error, open_server
from tests.waiting import WAIT_TIMEOUT


class Needs(Enum):
    """Permission that an operation requires."""

    NOTHING = ()
    ANY = (Permission.SEND_ONLY, Permission.SENDING_ACCESS, Permission.FULL_ACCESS)
    READ = (Permission.SENDING_ACCESS, Permission.FULL_ACCESS)  # of the key's own emails
    ADMINISTRATION = (Permission.FULL_ACCESS,)


class Kind(Enum):
    """Kind of key of a request."""

    NONE = auto()
    OTHER_SCHEME = auto()  # a right key as `Basic`
    EMPTY = auto()
    WRONG = auto()
    MALFORMED = auto()  # a right key twice
    DISABLED = auto()
    REVOKED = auto()
    EXPIRED = auto()  # replaced, and its overlap is over
    SEND_ONLY = auto()
    OWNER = auto()  # sending_access; the emails of the matrix are its own
    STRANGER = auto()  # sending_access of another caller
    POLICY = auto()  # the same with other senders, lanes and recipients than the requests have
    SINK = auto()
    FULL_ACCESS = auto()


REFUSED: Mapping[Kind, tuple[int, str]] = {
    **dict.fromkeys((Kind.NONE, Kind.OTHER_SCHEME, Kind.EMPTY), (401, "missing_api_key")),
    **dict.fromkeys((Kind.WRONG, Kind.MALFORMED, Kind.DISABLED, Kind.REVOKED, Kind.EXPIRED), (403, "invalid_api_key")),
}
PERMISSION: Mapping[Kind, Permission] = {
    Kind.SEND_ONLY: Permission.SEND_ONLY,
    **dict.fromkeys((Kind.OWNER, Kind.STRANGER, Kind.POLICY, Kind.SINK), Permission.SENDING_ACCESS),
    Kind.FULL_ACCESS: Permission.FULL_ACCESS,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Operation: its permission, a valid body and the response to a permitted key. `sends`: the policy decides."""

    needs: Needs
    body: Any = None
    answer: tuple[int, str | None] = (200, None)
    sends: bool = False


POSTMARK = {"From": SENDER, "To": "anna@example.com", "Subject": "Hello", "TextBody": "Hi Anna"}
NOT_POSSIBLE = (422, "validation_error")  # a scheduled email is not retried, confirmed or erased

TABLE: Mapping[tuple[str, str], Row] = {
    ("POST", "/emails"): Row(Needs.ANY, MINIMAL, sends=True),
    ("POST", "/emails/batch"): Row(Needs.ANY, [MINIMAL], sends=True),
    ("POST", "/emails/validate"): Row(Needs.ANY, MINIMAL, sends=True),
    ("POST", "/email"): Row(Needs.ANY, POSTMARK, sends=True),
    ("POST", "/email/batch"): Row(Needs.ANY, [POSTMARK], sends=True),
    ("GET", "/emails"): Row(Needs.READ),
    ("GET", "/emails/{id}"): Row(Needs.READ),
    ("PATCH", "/emails/{id}"): Row(Needs.READ, {"scheduled_at": "in 2 hours"}),
    ("POST", "/emails/{id}/cancel"): Row(Needs.READ),
    ("GET", "/emails/{id}/attachments"): Row(Needs.READ),
    ("GET", "/emails/{id}/attachments/{attachment_id}"): Row(Needs.READ),
    ("GET", "/emails/{id}/attachments/{attachment_id}/content"): Row(Needs.READ),
    ("POST", "/emails/{id}/retry"): Row(Needs.ADMINISTRATION, answer=NOT_POSSIBLE),
    ("POST", "/emails/{id}/confirm"): Row(Needs.ADMINISTRATION, answer=NOT_POSSIBLE),
    ("POST", "/emails/{id}/erase"): Row(Needs.ADMINISTRATION, answer=NOT_POSSIBLE),
    ("POST", "/emails/erase"): Row(Needs.ADMINISTRATION, {"address": "nobody@example.com"}),
    ("GET", "/mailboxes"): Row(Needs.ADMINISTRATION),
    ("POST", "/mailboxes/{name}/hold"): Row(Needs.ADMINISTRATION, {"reason": "matrix"}),
    ("POST", "/mailboxes/{name}/release"): Row(Needs.ADMINISTRATION),
    ("GET", "/webhooks"): Row(Needs.ADMINISTRATION),
    ("POST", "/webhooks"): Row(Needs.ADMINISTRATION, {"endpoint": "https://example.com/", "events": ["email.sent"]}),
    ("GET", "/webhooks/{id}"): Row(Needs.ADMINISTRATION),
    ("PATCH", "/webhooks/{id}"): Row(Needs.ADMINISTRATION, {"events": ["email.scheduled"]}),
    ("DELETE", "/webhooks/{id}"): Row(Needs.ADMINISTRATION),
    ("POST", "/webhooks/{id}/signing-secret/rotate"): Row(Needs.ADMINISTRATION),
    ("POST", "/webhooks/{id}/replay"): Row(Needs.ADMINISTRATION, {"since": "2026-11-24T09:00:00Z"}),
    ("GET", "/webhooks/{id}/events"): Row(Needs.ADMINISTRATION),
    ("GET", "/webhooks/{id}/events/{event_id}"): Row(Needs.ADMINISTRATION),
    ("GET", "/webhooks/{id}/events/{event_id}/attempts"): Row(Needs.ADMINISTRATION),
    ("POST", "/webhooks/{id}/events/{event_id}/replay"): Row(Needs.ADMINISTRATION),
    ("GET", "/suppressions"): Row(Needs.ADMINISTRATION),
    ("POST", "/suppressions"): Row(Needs.ADMINISTRATION, {"email": "nobody@example.com"}, (201, None)),
    ("POST", "/suppressions/batch/add"): Row(Needs.ADMINISTRATION, {"emails": ["nobody@example.com"]}, (201, None)),
    ("POST", "/suppressions/batch/remove"): Row(Needs.ADMINISTRATION, {"emails": ["nobody@example.org"]}),
    ("GET", "/suppressions/{id}"): Row(Needs.ADMINISTRATION),
    ("DELETE", "/suppressions/{id}"): Row(Needs.ADMINISTRATION),
    ("GET", "/keys"): Row(Needs.ADMINISTRATION),
    ("POST", "/keys"): Row(Needs.ADMINISTRATION, {"name": "shop"}),
    ("GET", "/keys/{id}"): Row(Needs.ADMINISTRATION),
    ("PATCH", "/keys/{id}"): Row(Needs.ADMINISTRATION, {"messages_per_day": 7}),
    ("DELETE", "/keys/{id}"): Row(Needs.ADMINISTRATION),
    ("POST", "/keys/{id}/rotate"): Row(Needs.ADMINISTRATION),
    ("GET", "/audit"): Row(Needs.ADMINISTRATION),
    ("GET", "/openapi.json"): Row(Needs.NOTHING),
    ("GET", "/docs"): Row(Needs.NOTHING),
    ("GET", "/docs/docs.js"): Row(Needs.NOTHING),
    ("GET", "/healthz"): Row(Needs.NOTHING),
    ("GET", "/readyz"): Row(Needs.NOTHING),
    ("GET", "/readyz?deep=1"): Row(Needs.ADMINISTRATION),
    ("GET", "/metrics"): Row(Needs.NOTHING),
}
HEADS = {("HEAD", path): row for (method, path), row in TABLE.items() if method == "GET"}
EVERY = {**TABLE, **HEADS}


@dataclass(frozen=True, slots=True)
class Matrix:
    """Server, its keys and objects for the paths. Requests bypass any gateway, which hides some paths."""

    server: ApiServer
    http: httpx.Client
    headers: Mapping[Kind, Mapping[str, str]]
    parts: Mapping[str, str]

    def ask(self, method: str, path: str, kind: Kind, body: Any = None) -> httpx.Response:
        """Return the response to this kind of key."""
        return self.http.request(method, path, headers=self.headers[kind], json=body)

    def place(self, method: str, path: str, *, new: bool) -> str:
        """Return the path of an existing object; with `new`, of one that the request may change."""
        parts = {**self.parts, "id": self.parts.get(path.split("/")[1], "")}
        if "{id}" in path and "{event_id}" not in path and new and method not in ("GET", "HEAD"):
            parts["id"] = self._made(path.split("/")[1])
        return path.format_map(parts)

    def _made(self, collection: str) -> str:
        """Create an email of the owner, a webhook, a suppression or a key."""
        row, kind = TABLE["POST", f"/{collection}"], Kind.FULL_ACCESS
        body = row.body
        if collection == "emails":
            body, kind = {**MINIMAL, "scheduled_at": "in 1 hour"}, Kind.OWNER
        made = self.ask("POST", f"/{collection}", kind, body)
        assert made.is_success, made.text
        return str(made.json()["id"])


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """Server for the whole matrix."""
    with (
        open_server(tmp_path_factory.mktemp("matrix")) as server,
        httpx.Client(base_url=server.direct, timeout=WAIT_TIMEOUT, trust_env=False) as http,
    ):
        server.run(server.store.save_condition(SENDER, "main", MailboxCondition(Health.OPEN, server.clock.now())))
        found = Matrix(server, http, headers_of(server), {})
        hook = {"endpoint": "https://example.com/", "events": ["email.scheduled"]}
        webhook = found.ask("POST", "/webhooks", Kind.FULL_ACCESS, hook).json()["id"]
        file = {"filename": "a.txt", "content": "SGVsbG8="}
        email = found.ask(
            "POST", "/emails", Kind.OWNER, {**MINIMAL, "scheduled_at": "in 1 hour", "attachments": [file]}
        )
        [attachment] = found.ask("GET", f"/emails/{email.json()['id']}/attachments", Kind.OWNER).json()["data"]
        [event] = found.ask("GET", f"/webhooks/{webhook}/events", Kind.FULL_ACCESS).json()["data"]
        key = found.ask("POST", "/keys", Kind.FULL_ACCESS, {"name": "shop"}).json()["id"]
        suppressed = found.ask("POST", "/suppressions", Kind.FULL_ACCESS, {"email": "gone@example.com"}).json()["id"]
        parts = {"emails": email.json()["id"], "webhooks": webhook, "suppressions": suppressed, "keys": key}
        parts["name"] = SENDER
        yield Matrix(server, http, found.headers, {**parts, "attachment_id": attachment["id"], "event_id": event["id"]})


def headers_of(server: ApiServer) -> dict[Kind, Mapping[str, str]]:
    """Return a header for each kind of key."""
    disabled, revoked, expired = (server.make_key(Permission.FULL_ACCESS) for _ in range(3))
    now = server.clock.now()
    ids = {secret: server.run(server.store.find_key(digest(secret))) for secret in (disabled, revoked, expired)}
    found = {secret: presented.key.id for secret, presented in ids.items() if presented is not None}
    server.run(server.store.revise_key(KeyRevision(found[disabled], {"disabled": True}, now, None)))
    server.run(server.store.revoke_key(found[revoked], now))
    server.run(server.store.rotate_key(KeyRotation(found[expired], digest(new_key()), now, now - 1, None)))
    full = server.make_key(Permission.FULL_ACCESS)
    secrets = {
        Kind.WRONG: new_key(),
        Kind.MALFORMED: f"{full} {full}",
        Kind.DISABLED: disabled,
        Kind.REVOKED: revoked,
        Kind.EXPIRED: expired,
        Kind.SEND_ONLY: server.make_key(Permission.SEND_ONLY),
        Kind.OWNER: server.make_key(),
        Kind.STRANGER: server.make_key(),
        Kind.POLICY: server.make_key(senders=("shop@contoso.com",), lanes=(Lane.BULK,), recipients=("*@example.org",)),
        Kind.SINK: server.make_key(sink=True),
        Kind.FULL_ACCESS: full,
    }
    bearers: dict[Kind, Mapping[str, str]] = {it: {"authorization": f"Bearer {key}"} for it, key in secrets.items()}
    others = {
        Kind.NONE: {},
        Kind.OTHER_SCHEME: {"authorization": f"Basic {full}"},
        Kind.EMPTY: {"authorization": "Bearer"},
    }
    return {**bearers, **others}


def expected(path: str, row: Row, kind: Kind) -> tuple[int, str | None]:
    """Return status and error name for a permission and a kind of key."""
    if row.needs is Needs.NOTHING:
        return row.answer
    if kind in REFUSED:
        return REFUSED[kind]
    if PERMISSION[kind] not in row.needs.value:
        return 401, "restricted_api_key"
    if row.sends and kind is Kind.POLICY:
        return 403, "validation_error"
    if path.startswith("/emails/{id}") and kind not in (Kind.OWNER, Kind.FULL_ACCESS):
        return 404, "not_found"
    return row.answer


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize(("method", "path"), EVERY, ids=lambda part: part)
def test_every_operation_with_every_kind_of_key(matrix: Matrix, method: str, path: str, kind: Kind) -> None:
    """Status and error name. A refused key reads nothing else."""
    row = EVERY[method, path]
    status, name = expected(path, row, kind)
    answer = matrix.ask(method, matrix.place(method, path, new=name is None), kind, row.body)
    if path.startswith("/email") and not path.startswith("/emails"):
        check_postmark(answer, path, status, name)
        return
    assert answer.status_code == status, answer.text
    if method != "HEAD" and name is not None:
        assert check_error(answer)["name"] == name
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def check_postmark(answer: httpx.Response, path: str, status: int, name: str | None) -> None:
    """Check the same with Postmark's codes: 401 for the token, 422 for the email or each item of a batch."""
    if name == "validation_error":
        items = answer.json() if path.endswith("/batch") else [answer.json()]
        assert answer.status_code == (200 if path.endswith("/batch") else 422)
        assert [item["ErrorCode"] for item in items] == [400]
    else:
        assert answer.status_code == (200 if status == 200 else 401), answer.text
        codes = (
            [item["ErrorCode"] for item in answer.json()]
            if answer.text.startswith("[")
            else [answer.json()["ErrorCode"]]
        )
        assert codes == [0 if status == 200 else 10]


def test_the_table_has_every_operation_of_the_specification(matrix: Matrix) -> None:
    """And no other, with the permissions of the specification."""
    document = matrix.http.get("/openapi.json").json()
    live = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert live.keys() == EVERY.keys() - {("GET", "/readyz?deep=1"), ("HEAD", "/readyz?deep=1")}
    for operation, described in live.items():
        permissions = tuple(Permission(one["apiKey"][0]) for one in described["security"])
        assert permissions == EVERY[operation].needs.value, operation


def test_no_operation_outside_the_table_succeeds(matrix: Matrix) -> None:
    """Of any route, in the specification or not, with any method and with full access."""
    routes = matrix.server.routes()
    others = [(method, path) for path, methods in routes.items() for method in methods if (method, path) not in EVERY]
    assert len(others) > 100
    for method, path in others:
        concrete = path.replace("{rest}", "x").replace("{id}", matrix.parts["emails"])
        answer = matrix.ask(method, concrete, Kind.FULL_ACCESS, None if method in ("GET", "HEAD") else {})
        assert answer.status_code in (404, 405, 422), (method, path, answer.text)


def test_an_unsupported_path_requires_a_key(matrix: Matrix) -> None:
    """Such as Resend's domains or Postmark's templates."""
    live = matrix.http.get("/openapi.json").json()["paths"]
    hidden = {path for path, methods in matrix.server.routes().items() if path not in live and "GET" in methods}
    assert len(hidden) > 5
    for path in hidden:
        concrete = path.replace("{rest}", "x").replace("{id}", "x")
        for kind in Kind:
            answer = matrix.ask("GET", concrete, kind)
            assert answer.status_code >= 400, (path, kind)
            if kind is not Kind.SEND_ONLY:  # which is refused at some of them for what it is
                assert (answer.status_code in (401, 403)) == (kind in REFUSED), (path, kind, answer.text)
