"""Texts of the OpenAPI document that belong to no single route."""

from collections.abc import Mapping
from typing import Any

from app import __version__
from app.api.openapi.operation import Tag

_INTRODUCTION = """\
Postern takes emails as JSON, commits them to disk, answers, and relays them over authenticated STARTTLS connections
to Office 365. The shape is that of Resend's API for emails, so its official SDKs work when their base URL is Postern's
address (no affiliation). Members that only a relay has are additional.

**Success is exactly 200** and a JSON object. The email is on the disk by then; it is relayed afterwards.

**Errors** have the form of `Error` and one of 15 names. `message` says what is wrong and how to
fix it, `reason` is a more specific cause for programs, `details` lists every error of a request. A path
that does not exist is answered with 404 `not_found`, a method that a path does not have with 405 `method_not_allowed`
and the header `Allow`. What Resend has beyond emails (domains, templates, audiences and the like) is answered with
404 and the reason `unsupported_resource`.

**Requests** are read as JSON whatever their Content-Type says. Unknown members are ignored, and null means the same
as leaving a member out. A change that was made to an accepted email is reported in the answer's `warnings`, by field.
Repeated slashes and a slash at the end of a path change nothing. HEAD is answered wherever
GET is, with the headers alone.

**Every response** has `X-Request-Id`: the value of the request, or a new one. Responses to a valid API key
also report the remaining messages of the key in
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, plain integers.
"""

INFORMATION: Mapping[str, Any] = {
    "title": "Postern",
    "version": __version__,
    "summary": "The one gate between your applications and your Office 365 mail.",
    "description": _INTRODUCTION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS: Mapping[Tag, str] = {
    Tag.EMAILS: "Send emails and read their status.",
    Tag.ATTACHMENTS: "The files of an email as it is relayed.",
    Tag.DECISIONS: "Decisions of an operator about an email.",
    Tag.MAILBOXES: "The Office 365 mailboxes that relay.",
    Tag.WEBHOOKS: "Notifications about emails, signed as in Standard Webhooks.",
    Tag.KEYS: "API keys, their policies and the audit.",
    Tag.POSTMARK: "For applications that use Postmark's API.",
    Tag.OPERATION: "Health checks and metrics. Gateways must not forward them.",
}

HEADERS: Mapping[str, Any] = {
    "XRequestId": {
        "description": "The caller's own X-Request-Id (1 to 128 characters), or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~:+/=@-]{1,128}$"},
        "example": "5b0f6d0c3f6f4c1a9f0e7d21",
    },
    "RetryAfter": {
        "description": "Seconds after which the request may be sent again. Never a date.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "RateLimitLimit": {
        "description": "On every response to a valid API key: its limit of messages for the current minute or day, "
        "whichever has fewer left. 1000000000 without a limit.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 60,
    },
    "RateLimitRemaining": {
        "description": "Remaining messages in that minute or day.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 59,
    },
    "RateLimitReset": {
        "description": "Seconds until that minute or day (UTC) is over.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 17,
    },
    "WwwAuthenticate": {
        "description": "Authentication scheme.",
        "required": True,
        "schema": {"const": "Bearer"},
        "example": "Bearer",
    },
}

API_KEY: Mapping[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. The roles of an operation are permissions; the key needs one of them.",
}
