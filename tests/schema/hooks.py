"""Schemathesis hooks: values of our own formats, and rules beyond the schema.

Its program loads it (SCHEMATHESIS_HOOKS).
"""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import httpx
import schemathesis
from hypothesis import strategies as st

from app.api.auth.authenticator import digest
from app.store.keys.setting_key import first_id
from tests.harness import KEY

_OWN = str(first_id(digest(KEY)))
_PLAIN = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=128)
_MAILBOXES = ["noreply@contoso.com", "Contoso <noreply@contoso.com>", "ada@example.net", '"Doe, Jane" <j@example.net>']
_ID = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@_-"

for name, strategy in {
    "mailbox": st.sampled_from(_MAILBOXES),
    "mailboxes": st.lists(st.sampled_from(_MAILBOXES), min_size=1, max_size=5).map(", ".join),
    "send-time": st.sampled_from(
        ["in 10 minutes", "in 1 hour", "in 2 days", f"{datetime.now(UTC) + timedelta(1):%FT%TZ}"]
    ),
    "seconds": st.integers(1, 604_800).map(str),
    "printable": _PLAIN.filter(str.isprintable),
    "content-id": st.text(_ID, min_size=1, max_size=128),
    "base64": st.binary(max_size=100).map(lambda content: base64.b64encode(content).decode()),
    "key-name": st.sampled_from(["shop", "shop, staging", "Größe"]),
    "sender-pattern": st.sampled_from(["noreply@contoso.com", "*@contoso.com", "*@*.contoso.com"]),
    "recipient-pattern": st.sampled_from(["ada@example.net", "*@example.net"]),
    "suppression-key": st.sampled_from(["ada@example.net", "9e3f4c1e-7e2b-4f0c-8d55-0b6a3f1c2d77"]),
    "public-url": st.sampled_from(["https://example.com/hook", "https://example.org/a?b=c"]),
}.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Delete a created webhook: only fifty are allowed."""
    if (case.method, case.path) == ("POST", "/webhooks") and response.status_code == 200:
        url = urljoin(response.request.url, f"/webhooks/{response.json()['id']}")
        httpx.delete(url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60, trust_env=False).raise_for_status()


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Exclude requests that wait, that expect 503, that page in both directions, or that revoke the key of all
    requests."""
    query, headers = case.query or {}, case.headers or {}
    waits = re.search(r"wait=(\d+)", str(headers.get("Prefer", "")))
    return not (
        (waits and int(waits[1][:3]) > 1)
        or (case.path == "/readyz" and "relaying" in query)
        or ("after" in query and "before" in query)
        or (case.path.startswith("/keys/{id}") and str((case.path_parameters or {}).get("id", "")).lower() == _OWN)
    )
