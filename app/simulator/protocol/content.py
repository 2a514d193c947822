"""Message content: removal of dot-stuffing, check of the line ends, and the header fields that Exchange checks."""

import re
from dataclasses import dataclass
from email.utils import getaddresses

_FIELD = re.compile(rb"(?im)^(from|sender|message-id)[ \t]*:(.*(?:\n[ \t].*)*)")


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """Header fields that Exchange checks. `senders` is None without exactly one From, or if an address is invalid."""

    senders: tuple[str, ...] | None
    has_sender: bool
    message_id: str | None  # with its angle brackets


def unstuffed(content: bytes) -> bytes:
    """Return the content without dot-stuffing (RFC 5321 §4.5.2)."""
    if content.startswith(b"."):
        content = content[1:]
    return content.replace(b"\r\n.", b"\r\n")


def has_bare_line_ends(content: bytes) -> bool:
    """Return True if the content contains a bare CR or LF (RFC 5321 §2.3.8)."""
    pairs = content.count(b"\r\n")
    return content.count(b"\n") != pairs or content.count(b"\r") != pairs


def header_fields(content: bytes) -> HeaderFields:
    """Parse the header fields of a message."""
    end = 0 if content.startswith(b"\r\n") else content.find(b"\r\n\r\n")
    fields: dict[str, list[str]] = {}
    for match in _FIELD.finditer(content if end < 0 else content[:end]):
        value = match[2].decode("utf-8", "replace").replace("\r\n", "").strip()
        fields.setdefault(match[1].decode("ascii").lower(), []).append(value)
    return HeaderFields(
        senders=_addresses(fields.get("from", [])),
        has_sender="sender" in fields,
        message_id=next(iter(fields.get("message-id", [])), None) or None,
    )


def _addresses(fields: list[str]) -> tuple[str, ...] | None:
    if len(fields) != 1:
        return None
    addresses = tuple(address for _, address in getaddresses(fields))
    return addresses if addresses and all(_is_plausible(address) for address in addresses) else None


def _is_plausible(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and not any(char.isspace() for char in address)
