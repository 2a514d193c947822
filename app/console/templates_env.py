"""Jinja environment of the console: templates, filters for times and numbers, and security headers.

All values are escaped. The Content-Security-Policy allows only the console's own style sheet and icon, and no script.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from app.mail.times import DAY, HOUR, MINUTE
from app.store.read.backlog import COUNT_LIMIT

_HERE = Path(__file__).parent / "templates"
_CODE = re.compile("`([^`]+)`")
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"))
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
STATIC_FILES = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def markup(text: str) -> Markup:
    """Escape a sentence and mark its `code` as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - the text is escaped


def timestamp(seconds: float) -> Markup:
    """Format epoch seconds as a time element in UTC."""
    at = datetime.fromtimestamp(seconds, UTC)
    shown = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), shown)


def duration(seconds: float) -> str:
    """Format a duration in its largest unit: `45 s`, `12 min`, `3 h`, `2 d`."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def number(value: int) -> str:
    """Format an integer with thousands separators."""
    return f"{value:,}"


def bounded_count(value: int) -> str:
    """Format a count of the backlog, which ends at COUNT_LIMIT."""
    return f"{COUNT_LIMIT:,} or more" if value >= COUNT_LIMIT else number(value)


def byte_size(value: int) -> str:
    """Format a number of bytes."""
    return f"{value} B" if value < 1024 else f"{value / 1024:.0f} KiB" if value < 2**20 else f"{value / 2**20:.1f} MiB"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters |= {
    "markup": markup,
    "timestamp": timestamp,
    "duration": duration,
    "number": number,
    "bounded_count": bounded_count,
    "byte_size": byte_size,
}


def render_page(template: str, status: int = 200, **values: Any) -> Response:
    """Render a template as an HTML response."""
    content = _ENVIRONMENT.get_template(template).render(**values)
    return Response(content, status, HEADERS, "text/html")


def static_file(name: str) -> Response:
    """Return a file of STATIC_FILES, cacheable for five minutes."""
    headers = {**HEADERS, "cache-control": "max-age=300"}
    return Response((_HERE / name).read_bytes(), headers=headers, media_type=STATIC_FILES[name])
