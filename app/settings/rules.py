"""What makes a setting right, and the sentence when it is not: fault and mend. Knows no source of settings."""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

from app.mail.address import AddressError, parse_address

_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)


def fault(field: str | None, what: str, mend: str) -> PydanticCustomError:
    """An error whose sentence is `VARIABLE: value what. mend.`; `field` names another field than the one at hand."""
    return PydanticCustomError("setting", "{what}", {"what": what, "mend": mend, "field": field or ""})


def sentence(prefix: str, error: ErrorDetails, *, secret: frozenset[str]) -> str:
    """One line for a person: the variable, the value unless it is a secret, what is wrong, what would be right."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    field = context.get("field") or str(error["loc"][0])
    variable = f"{prefix}{field.upper()}"
    what, mend = context.get("what"), context.get("mend")
    if what is None:
        what, mend = _plain(error["type"], context, error["msg"])
    shown = "" if field in secret or error["type"] == "missing" or context.get("field") else f"{error['input']!r:.80} "
    return f"{variable}: {shown}{what}. {mend}."


def _plain(kind: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    """pydantic's own errors in our words."""
    match kind:
        case "missing":
            return "is missing", "Set it, for example to noreply@contoso.com"
        case "int_parsing" | "int_type" | "int_from_float":
            return "is not a whole number", "Give digits only"
        case "float_parsing" | "float_type" | "finite_number":
            return "is not a number", "Give digits, with a point if needed"
        case "greater_than_equal":
            return "is too small", f"Give {context['ge']} or more"
        case "less_than_equal":
            return "is too large", f"Give {context['le']} or less"
        case "bool_parsing" | "bool_type":
            return "is neither yes nor no", "Give true or false"
        case "literal_error":
            return "is not one of the choices", f"Give {context['expected']}"
        case _:
            return message[:1].lower() + message[1:], "See the settings in README.md"


def mailbox(value: str) -> str:
    """One address without a display name."""
    try:
        address = parse_address(value)
    except AddressError:
        raise fault(None, "is not an email address", "Give one such as noreply@contoso.com") from None
    if address.display_name:
        raise fault(None, "has a display name", f"Give the address alone: {address.addr_spec}")
    return address.addr_spec


def sender(value: str | None) -> str | None:
    """One address, with or without a display name."""
    if value is None:
        return None
    try:
        return parse_address(value).render()
    except AddressError:
        raise fault(None, "is not an email address", "Give one such as Contoso <noreply@contoso.com>") from None


def patterns(value: Any) -> Any:
    """`*@contoso.com, invoices@contoso.com` as a tuple of lower-case patterns."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    for pattern in value:
        if pattern.count("@") != 1 or any(c.isspace() or c in "<>" for c in pattern):
            raise fault(
                None, f"has a pattern that is no sender: {pattern!r:.60}", "Give patterns such as *@contoso.com"
            )
    return tuple(pattern.lower() for pattern in value)


def database_url(value: str) -> str:
    """`sqlite:///path`, or nothing."""
    if not value or (value.startswith("sqlite:///") and value != "sqlite:///" and ":memory:" not in value):
        return value
    raise fault(None, "is not a database this version can keep mail in", "Give sqlite:///path/to/postern.db")


def host_name(value: str) -> str:
    """A DNS name or an address: no scheme, no port."""
    if "://" in value:
        raise fault(
            None, "is a URL", f"Give the host alone: {value.split('://')[1].split(':', maxsplit=1)[0].strip('/')}"
        )
    if _is_address(value) or _NAME.fullmatch(value):
        return value
    if value.count(":") == 1:
        raise fault(None, "has a port in it", "Give the host here and the port in POSTERN_SMTP_PORT")
    raise fault(None, "is not a host name", "Give a name such as smtp.office365.com")


def smtp_port(value: int) -> int:
    """Any but the ports of TLS from the first byte."""
    if value == 465:
        raise fault(
            None, "is implicit TLS (SSL), which Office 365 does not offer", "It offers STARTTLS on 587 only: give 587"
        )
    if not 0 < value < 65536:
        raise fault(None, "is not a port", "Give 587")
    return value


def listen_port(value: Any) -> Any:
    """A number; Kubernetes puts a URL here when the Service is called postern."""
    if isinstance(value, str) and value.startswith("tcp://"):
        raise fault(
            None,
            "was put there by Kubernetes for a Service of this name",
            "Set enableServiceLinks: false in the pod, or set POSTERN_PORT yourself",
        )
    return value


def ehlo_name(value: str) -> str:
    """A full domain name or an address literal (RFC 5321 §4.1.3); Exchange refuses others with 501 5.5.4."""
    if not value or (_NAME.fullmatch(value) and "." in value):
        return value
    if value.startswith("[") and value.endswith("]") and _is_address(value[1:-1].removeprefix("IPv6:")):
        return value
    raise fault(
        None, "is not a full domain name", "Give one such as postern.contoso.com: no underscore, no dot at the end"
    )


def ca_file(value: Path | None) -> Path | None:
    """A PEM file with at least one certificate."""
    if value is None:
        return None
    if not os.path.isfile(value):  # which takes a value too long for a path for no file
        raise fault(None, "is not a file that can be read", "Give the path of a PEM file with the CA's certificate")
    try:
        ssl.create_default_context(cafile=value)
    except (ssl.SSLError, OSError):
        raise fault(None, "has no certificate in PEM form", "Give a file that begins with BEGIN CERTIFICATE") from None
    return value


def api_key(value: Any) -> Any:
    """Long enough not to be guessed."""
    if value is not None and len(value.get_secret_value()) < 16:
        raise fault(None, "is shorter than 16 characters", "Make one with: openssl rand -hex 24")
    return value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
