"""Case E5: any JSON gets a response of the documented form."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.api.server import MINIMAL, ApiServer, accepted, check_error

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.text(st.characters(categories=["Cs", "Cc", "Zl"]), max_size=5)
    | st.sampled_from(["anna@example.com", "in 1 hour", "aGk=", "text/plain", "Buffer", "hold", "60", "\ud800", ""])
)
NAMES = st.text(max_size=8) | st.sampled_from(
    [
        "name",
        "value",
        "content",
        "filename",
        "content_type",
        "content_id",
        "path",
        "type",
        "data",
        "From",
        "Message-ID",
        "X-Ref",
        "X-Postern-Expires-In",
        "X-Postern-On-Unknown",
    ]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=10
)
FIELDS = st.sampled_from(
    [
        "from",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "replyTo",
        "subject",
        "html",
        "text",
        "headers",
        "attachments",
        "tags",
        "scheduled_at",
        "scheduledAt",
        "expires_in",
        "on_unknown",
        "template",
        "topic_id",
        "lane",
        "coalesce",
        "type",
        "error",
    ]
)

QUICK = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def own_key(server: ApiServer) -> str:
    """Key of its own: most requests are refused, and refusals are limited per key."""
    return server.make_key()


def check(server: ApiServer, data: bytes, own_key: str, key: str | None = None) -> None:
    """Check for a success or a 4xx error of the documented form."""
    headers = {"authorization": f"Bearer {own_key}"} | ({} if key is None else {"idempotency-key": key})
    response = server.client.post("/emails", content=data, headers=headers)
    if response.status_code == 200:
        accepted(response)
    else:
        assert response.status_code < 500, (data, response.text)
        check_error(response)


@QUICK
@given(st.dictionaries(FIELDS, VALUES, max_size=5))
def test_e5_any_values_in_a_good_email(server: ApiServer, own_key: str, changes: dict[str, Any]) -> None:
    """Any value in each member."""
    check(server, json.dumps(MINIMAL | changes).encode(), own_key)


@QUICK
@given(VALUES)
def test_e5_any_json(server: ApiServer, own_key: str, value: Any) -> None:
    """Any JSON value."""
    check(server, json.dumps(value).encode(), own_key, key="fuzz")


@QUICK
@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: b'{"from": "' + text.encode("utf-8", "replace")))
def test_e5_any_bytes(server: ApiServer, own_key: str, data: bytes) -> None:
    """Also invalid JSON."""
    check(server, data, own_key)
