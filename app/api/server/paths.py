"""Normalization of request paths, and refusal of unsafe ones and of other spellings of an internal path."""

import re

from starlette.types import Scope

from app.api.problems.problem import NotFound
from app.mail import safe_text

INTERNAL = frozenset({"/healthz", "/readyz", "/metrics"})  # without authentication; no gateway may forward them
_SLASHES = re.compile("/{2,}")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f]|/[.]{1,2}(?:/|$)")  # controls, dot segments


def route_path(given: str, root_path: str) -> str:
    """Return the path for the routes: slashes joined, and `root_path` removed once, if it is there in the same case."""
    path = _joined(given)
    if root_path and f"{path}/".startswith(f"{root_path}/"):
        return path[len(root_path) :] or "/"
    return path


def check(scope: Scope) -> None:
    """Refuse control characters, dot segments, and any other spelling of an internal path. Raises NotFound.

    A gateway compares paths before Postern reads them. What both read differently would pass its rules; so an internal
    path is answered only where the request has exactly its bytes.
    """
    path: str = scope["path"]
    if _UNSAFE.search(path) or (path in INTERNAL and scope["raw_path"] != path.encode()):
        shown = safe_text.escape_controls(safe_text.cut(path))
        raise NotFound(f"There is nothing at {shown}.")


def _joined(path: str) -> str:
    """Return `/emails` for `//emails` and `/emails/`, which some SDKs build from their base URL."""
    if "//" in path or path.endswith("/"):
        return _SLASHES.sub("/", path).rstrip("/") or "/"
    return path
