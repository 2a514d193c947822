"""How a page is made: the templates, the words for moments and numbers, and the headers that keep it apart.

Everything that is shown is escaped; nothing but our own style sheet and icon is loaded, and no script runs.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from app.store.read.backlog import COUNTED

_HERE = Path(__file__).parent / "templates"
_CODE = re.compile("`([^`]+)`")
_STEPS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FILES = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def words(text: str) -> Markup:
    """A sentence for people, with its `code` as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it was escaped first


def moment(seconds: float) -> Markup:
    """Epoch seconds."""
    at = datetime.fromtimestamp(seconds, UTC)
    shown = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), shown)


def lasting(seconds: float) -> str:
    """How long, roughly: `45 s`, `12 min`, `3 h`, `2 d`."""
    for unit, name in _STEPS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def number(value: int) -> str:
    """With its thousands apart."""
    return f"{value:,}"


def counted(value: int) -> str:
    """A count that ends at a bound."""
    return f"{COUNTED:,} or more" if value >= COUNTED else number(value)


def octets(value: int) -> str:
    """A size."""
    return f"{value} B" if value < 1024 else f"{value / 1024:.0f} KiB" if value < 2**20 else f"{value / 2**20:.1f} MiB"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters |= {
    "words": words,
    "moment": moment,
    "lasting": lasting,
    "number": number,
    "counted": counted,
    "octets": octets,
}


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page."""
    content = _ENVIRONMENT.get_template(template).render(**values)
    return Response(content, status, HEADERS, "text/html")


def file(name: str) -> Response:
    """A file of the pages."""
    headers = {**HEADERS, "cache-control": "max-age=300"}
    return Response((_HERE / name).read_bytes(), headers=headers, media_type=FILES[name])
