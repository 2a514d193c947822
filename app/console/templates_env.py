"""Jinja environment of the console: templates, filters, navigation, static files and security headers.

All values are escaped. The Content-Security-Policy allows only the console's own style sheet, script and icon.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.responses import Response

from app.mail.outcome.fix_steps import steps_of
from app.mail.times import DAY, HOUR, MINUTE
from app.store.read.backlog import COUNT_LIMIT
from app.store.read.records import BoundedCount

_HERE = Path(__file__).parent
_CODE = re.compile("`([^`]+)`")
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"))
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
STATIC_FILES = {
    "style.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class Section(NamedTuple):
    """Entry of the navigation. `path` is below the console; a page is in the section `current_page`."""

    name: str
    path: str
    title: str


SECTIONS = (
    Section("overview", "", "Overview"),
    Section("emails", "/emails", "Emails"),
    Section("keys", "/keys", "API keys"),
    Section("webhooks", "/webhooks", "Webhooks"),
    Section("suppressions", "/suppressions", "Suppressions"),
    Section("test", "/test", "Send a test"),
    Section("audit", "/audit", "Audit"),
)


def markup(text: str) -> Markup:
    """Escape a sentence and mark its `code` as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - the text is escaped


def steps(text: str) -> Markup:
    """Mark up a fix: its steps `1. … 2. …` as a list, and each command with a button that copies it."""
    items = steps_of(text)
    if len(items) < 2:
        return _with_copy_buttons(text)
    listed = Markup("").join(Markup("<li>{}</li>").format(_with_copy_buttons(item)) for item in items)
    return Markup('<ol class="steps">{}</ol>').format(listed)


def _with_copy_buttons(text: str) -> Markup:
    """Mark `code` as code; that of several words is a command, and gets a button that copies it."""
    return Markup(_CODE.sub(_code, str(escape(text))))  # noqa: S704 - the text is escaped


def _code(match: re.Match[str]) -> str:
    code = f"<code>{match[1]}</code>"
    if " " not in match[1]:
        return code
    return f'{code}<button type="button" class="copy" data-script data-copy="{match[1]}" hidden>Copy</button>'


def timestamp(seconds: float) -> Markup:
    """Format epoch seconds as a time element in UTC, which the script shows in the reader's zone."""
    return Markup('<time datetime="{}">{}</time>').format(_iso(seconds), _utc(seconds))


@pass_context
def time_of_day(context: Context, seconds: float) -> Markup:
    """Format epoch seconds as a time element: without its date if it is that of `now`."""
    shown = _utc(seconds)
    if shown[:10] == _utc(context["now"])[:10]:
        shown = f"{shown[11:16]} UTC"
    return Markup('<time datetime="{}" title="{}" data-short>{}</time>').format(_iso(seconds), _utc(seconds), shown)


@pass_context
def ago(context: Context, seconds: float) -> Markup:
    """Format epoch seconds as a time element relative to `now`, such as `3 min ago`, with UTC on hover."""
    age = context["now"] - seconds
    shown = f"{duration(age)} ago" if age >= 0 else f"in {duration(-age)}"
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(_iso(seconds), _utc(seconds), shown)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


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


def bounded(count: BoundedCount | None) -> str:
    """Format a count that may have ended at its limit: `500+`."""
    if count is None or (count.more and not count.number):
        return "…"
    return f"{number(count.number)}{'+' if count.more else ''}"


def byte_size(value: int) -> str:
    """Format a number of bytes."""
    return f"{value} B" if value < 1024 else f"{value / 1024:.0f} KiB" if value < 2**20 else f"{value / 2**20:.1f} MiB"


def addr_spec(sender: str) -> str:
    """Return the address of a From field without its display name."""
    return sender.rpartition("<")[2].removesuffix(">")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {
    "markup": markup,
    "steps": steps,
    "timestamp": timestamp,
    "time_of_day": time_of_day,
    "ago": ago,
    "addr_spec": addr_spec,
    "duration": duration,
    "number": number,
    "bounded_count": bounded_count,
    "bounded": bounded,
    "byte_size": byte_size,
}
_ENVIRONMENT.globals["sections"] = SECTIONS


def render_page(template: str, status: int = 200, **values: Any) -> Response:
    """Render a template as an HTML response."""
    content = _ENVIRONMENT.get_template(template).render(**values)
    return Response(content, status, HEADERS, "text/html")


def static_file(name: str) -> Response:
    """Return a file of STATIC_FILES, cacheable for five minutes."""
    headers = {**HEADERS, "cache-control": "max-age=300"}
    return Response((_HERE / "static" / name).read_bytes(), headers=headers, media_type=STATIC_FILES[name])
