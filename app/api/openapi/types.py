"""Types and values of the OpenAPI document that many types need: ids, times and descriptions."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

Id: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Timestamp: TypeAlias = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T09:00:00.000Z"]}),
]

BASE_URL = "http://127.0.0.1:8025"  # of this server in code samples, where the address of the request is unknown
ID = "019ab3c4-7d20-7a31-9c55-2f6d1e0b8a47"  # of an email, in examples
OTHER_ID = "019ab3c4-7d25-7b02-8e1f-64c9d3a7f510"
WEBHOOK_ID = "5c3b8a52-6a3e-4b17-9d0c-2f7f1b9e4d10"
KEY_ID = "4d8d2a5e-0c1f-4c55-9a63-5b2e8f7c1a90"
EVENT_ID = "9e3f4c1e-7e2b-4f0c-8d55-0b6a3f1c2d77"
AT = "2026-11-24T09:00:00.000Z"
LATER = "2026-11-24T09:00:02.412Z"


class ExplanationObject(TypedDict):
    """Explanation of a state in plain words, and how to fix it."""

    summary: str
    fix: str


def describe(what: str, **more: Any) -> Any:
    """Return a field with its meaning, in one or two plain sentences."""
    return Field(description=what, **more)
