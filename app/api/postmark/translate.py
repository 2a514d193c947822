"""Translation of an email from Postmark's form to that of POST /emails. Validates only members without a native form.

Ignored, because they do not change the message: TrackOpens, TrackLinks, MessageStream, InlineCss. A template would
change it, so it becomes the member `template`, which is refused.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.api.problems.problem import FieldError, Invalid
from app.api.problems.validation import MAX_ITEMS, wrong_type

NATIVE_MEMBERS = {
    "From": "from",
    "To": "to",
    "Cc": "cc",
    "Bcc": "bcc",
    "ReplyTo": "reply_to",
    "Subject": "subject",
    "HtmlBody": "html",
    "TextBody": "text",
    "Headers": "headers",
    "Attachments": "attachments",
    "TemplateId": "template",
}
ATTACHMENT_MEMBERS = {
    "Name": "filename",
    "Content": "content",
    "ContentType": "content_type",
    "ContentID": "content_id",
    "Encoding": "encoding",  # not Postmark's, but named in error sentences
}

_ADDRESSES = ("To", "Cc", "Bcc", "ReplyTo")
_COPIES = ("Cc", "Bcc")
_TEMPLATE = ("TemplateId", "TemplateAlias", "TemplateModel")
MAX_TAG_TEXT = 1000  # characters of a Tag or of a value in Metadata
MAX_METADATA_NAME = 256
MAX_ADDRESS_LIST = 256 * 1024  # characters of To, Cc, Bcc or ReplyTo
_QUOTES_AND_COMMAS = re.compile(r'\\.|[",]', re.DOTALL)


def to_native(email: Mapping[str, Any]) -> dict[str, Any]:
    """Return the equivalent body of POST /emails. Raises Invalid with native field names."""
    ours = {name: email[theirs] for theirs, name in NATIVE_MEMBERS.items() if theirs in email}
    for theirs in _ADDRESSES:
        if isinstance(email.get(theirs), str):
            ours[NATIVE_MEMBERS[theirs]] = _address_list(theirs, email[theirs])
    if not ours.get("to") and any(isinstance(email.get(copy), str) and ours[NATIVE_MEMBERS[copy]] for copy in _COPIES):
        ours["to"] = ()  # marks an email with Cc or Bcc alone as valid
    ours["headers"] = _headers(email.get("Headers"))
    ours["attachments"] = _attachments(email.get("Attachments"))
    ours["tags"] = [*_tag(email.get("Tag")), *_metadata(email.get("Metadata"))]
    ours["template"] = next((email[name] for name in _TEMPLATE if email.get(name) is not None), None)
    return ours


def _address_list(member: str, text: str) -> list[str]:
    if len(text) > MAX_ADDRESS_LIST:
        raise _invalid(
            NATIVE_MEMBERS[member],
            f"It has {len(text)} characters and may have {MAX_ADDRESS_LIST}; send several emails.",
        )
    return split_addresses(text)


def split_addresses(text: str) -> list[str]:
    """Split a list of addresses at its commas (RFC 5322 §3.4); a comma in quotation marks is part of a name."""
    parts, start, quoted = [], 0, False
    for mark in _QUOTES_AND_COMMAS.finditer(text):
        if mark[0] == '"':
            quoted = not quoted
        elif mark[0] == "," and not quoted:
            parts.append(text[start : mark.start()])
            start = mark.end()
    parts.append(text[start:])
    return [bare for part in parts if (bare := part.strip(" \t"))]


def _headers(given: Any) -> Any:
    """Return `[{"Name", "Value"}]` as an object."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise _invalid("headers", wrong_type('a list like [{"Name": "X-Reference", "Value": "42"}]', given))
    if len(given) > MAX_ITEMS:
        raise _invalid("headers", f"It has {len(given)} headers and may have {MAX_ITEMS}.")
    headers: dict[str, Any] = {}
    for place, header in enumerate(given):
        name = header.get("Name") if isinstance(header, dict) else None
        if not isinstance(name, str):
            raise _invalid(f"headers[{place}]", 'It must be an object like {"Name": "X-Reference", "Value": "42"}.')
        if name in headers:
            raise _invalid(f"headers[{place}]", "There is a header of this name already; give each once.")
        headers[name] = header.get("Value")
    return headers


def _attachments(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    return [_attachment(attachment) if isinstance(attachment, dict) else attachment for attachment in given]


def _attachment(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(theirs) for theirs, name in ATTACHMENT_MEMBERS.items()}


def _tag(given: Any) -> list[tuple[str, str]]:
    if given is None or given == "":
        return []
    return [("tag", _text("tag", given))]


def _metadata(given: Any) -> list[tuple[str, str]]:
    """Return each entry as a tag: visible in GET /emails and in webhooks, not to recipients."""
    if given is None:
        return []
    if not isinstance(given, dict):
        raise _invalid("metadata", wrong_type('an object like {"customer": "42"}', given))
    if len(given) > MAX_ITEMS:
        raise _invalid("metadata", f"It has {len(given)} entries and may have {MAX_ITEMS}.")
    for name in given:
        if not 1 <= len(name) <= MAX_METADATA_NAME or "\0" in name:
            raise _invalid("metadata", f"A name in it must have 1 to {MAX_METADATA_NAME} characters, none of them NUL.")
    return [(name, _text(f"metadata.{name}", value)) for name, value in given.items() if value is not None]


def _text(place: str, value: Any) -> str:
    """Return a value as text, as Postmark does."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() if len(value) <= MAX_TAG_TEXT and "\0" not in value:
            return value
        case str():
            raise _invalid(place, f"It must have at most {MAX_TAG_TEXT} characters, none of them NUL.")
    raise _invalid(place, wrong_type("a string", value))


def _invalid(place: str, sentence: str) -> Invalid:
    return Invalid([FieldError(place, sentence)])
