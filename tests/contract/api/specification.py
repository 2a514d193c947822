"""Specification as a running Postern serves it. As a program (`make openapi`): write it into the repository."""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.contract.api.server import Json, open_server

FILE = Path(__file__).parents[3] / "deploy" / "openapi.json"


def as_file(document: Json) -> str:
    """Return the text of the file in the repository."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def within(document: Json, schema: Json) -> Json:
    """Return a schema with all it refers to, in which every object is closed, so that no member is undocumented."""
    closed: Json = _closed({**schema, "components": {"schemas": document["components"]["schemas"]}})
    return closed


def resolved(document: Json, part: Json) -> Json:
    """Return the target of a `$ref` in the document."""
    while "$ref" in part:
        found: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def _closed(part: Any) -> Any:
    """Add `unevaluatedProperties` to objects with named members."""
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    inner = {name: _closed(one) for name, one in part.items()}
    named = part.get("type") == "object" and isinstance(part.get("properties"), dict)
    return {**inner, "unevaluatedProperties": False} if named and "additionalProperties" not in part else inner


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, open_server(Path(folder)) as server:
        FILE.write_text(as_file(server.get("/openapi.json").json()), "utf-8")
