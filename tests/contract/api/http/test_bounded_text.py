"""Responses and log lines repeat at most some hundred characters of a request."""

from typing import Any

import pytest

from app import logs
from tests.contract.api.server import MINIMAL, ApiServer

HUGE = "x" * 10_000
LONGEST_ANSWER = 20_000  # bytes: 20 flaws, each with its place and its sentence
LONGEST_LINE = 3000  # characters


@pytest.fixture(autouse=True)
def _json_lines() -> None:
    logs.configure(human=False)


def _check(door_answer: Any, lines: str) -> None:
    assert door_answer.status_code >= 400
    assert len(door_answer.content) < LONGEST_ANSWER
    assert max((len(line) for line in lines.splitlines()), default=0) < LONGEST_LINE


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {HUGE: "a"}},
        {"headers": {"X-A": ["a"], HUGE: ["a"]}},
        {"headers": {"X-A": f"a\r\n{HUGE}"}},
        {"from": HUGE},
        {"from": f"a@{HUGE}.com"},
        {"to": [f"{HUGE}@example.com"] * 30},
        {"subject": f"a\n{HUGE}"},
        {"tags": [{"name": HUGE, "value": HUGE}] * 40},
        {"attachments": [{"filename": HUGE, "content": "%%%"}]},
        {"attachments": [{"filename": "a", "content": HUGE, "content_type": HUGE, "content_id": HUGE}]},
        {"scheduled_at": HUGE},
        {"lane": HUGE},
        {"on_unknown": HUGE},
        {"coalesce": HUGE},
        {"expires_in": HUGE},
        {"template": {"id": HUGE}},
        {"reply_to": HUGE},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_member_is_not_repeated_at_length(
    server: ApiServer, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """For every error of a member."""
    email = MINIMAL | changes
    for path, body in (("/emails", email), ("/emails/batch", [email] * 2)):
        capsys.readouterr()
        _check(server.client.post(path, json=body), capsys.readouterr().err)


@pytest.mark.parametrize("size", [300, 9000])
def test_a_path_a_query_and_a_header_are_not_repeated_at_length(
    server: ApiServer, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, ids, methods, cursors and keys."""
    text = "y" * size
    asked = [
        ("GET", f"/{text}", {}),
        ("GET", f"/emails/{text}", {}),
        ("GET", f"/mailboxes/{text}", {}),
        ("POST", f"/mailboxes/{text}/hold", {}),
        ("GET", f"/webhooks/{text}", {}),
        ("GET", f"/keys/{text}", {}),
        ("GET", f"/emails?after={text}&to={text}&tag=%00{text}&limit={text}&{text}={text}", {}),
        ("POST", "/emails", {"Idempotency-Key": text}),
        ("GET", "/emails/x", {"Authorization": f"Bearer {text}"}),
        ("GET", "/emails/x", {"Prefer": f'wait="{text}'}),
    ]
    for method, path, headers in asked:
        answer = server.client.request(method, path, headers=headers, json=MINIMAL if method == "POST" else None)
        _check(answer, capsys.readouterr().err)
        assert len(answer.content) < 2000


def test_a_long_method_is_not_repeated(server: ApiServer) -> None:
    """405 or 400."""
    with server.connect() as connection:
        connection.sendall(b"A" * 30_000 + b" /emails HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(connection.recv(100_000)) < 2000
