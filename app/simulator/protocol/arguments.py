"""Parser of the arguments of EHLO, MAIL and RCPT (RFC 5321 §4.1.2). The text of an error is the reply of Exchange."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.simulator.protocol import replies

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_UDOMAIN = re.compile(
    r"[^\s@<>\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]++(?:\.[^\s@<>\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]++)*+"
)
_DOT_STRING = re.compile(r"[^\s\x00-\x20()<>\[\]:;@\\,.\"\x7f]+(?:\.[^\s\x00-\x20()<>\[\]:;@\\,.\"\x7f]+)*")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
_PATH = re.compile(r'<((?:[^<>"]|"(?:[^"\\]|\\.)*")*)>(?:[ ]+(.*))?')


class CommandError(Exception):
    """Refused command. The text is the reply."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Arguments of MAIL."""

    address: str
    size: int
    binary: bool
    smtputf8: bool


def is_ehlo_name(argument: str) -> bool:
    """Return True for a domain or an address literal (RFC 5321 §4.1.1.1)."""
    if argument.startswith("[") and argument.endswith("]"):
        return _is_literal(argument)
    return len(argument) <= 255 and _DOMAIN.fullmatch(argument) is not None


def mail(argument: str, *, smtputf8_supported: bool) -> Mail:
    """Parse `FROM:<path> parameters`. Raises CommandError."""
    path, parameters = _path(argument, "FROM:", replies.INVALID_SENDER)
    given = _parameters(parameters, _MAIL_PARAMETERS)
    smtputf8 = "SMTPUTF8" in given
    if smtputf8 and not smtputf8_supported:
        raise CommandError(replies.INVALID_ARGUMENTS)
    if path:
        _check_address(path, replies.INVALID_SENDER, smtputf8=smtputf8)
    return Mail(path, int(given.get("SIZE", "0")), given.get("BODY", "").upper() == "BINARYMIME", smtputf8)


def rcpt(argument: str, *, smtputf8: bool) -> str:
    """Parse `TO:<path> parameters` and return the address. Raises CommandError."""
    path, parameters = _path(argument, "TO:", replies.INVALID_RECIPIENT)
    _parameters(parameters, _RCPT_PARAMETERS)
    _check_address(path, replies.INVALID_RECIPIENT, smtputf8=smtputf8)
    return path


def _path(argument: str, prefix: str, error_reply: str) -> tuple[str, str]:
    if argument[: len(prefix)].upper() != prefix:
        raise CommandError(replies.INVALID_ARGUMENTS)
    match = _PATH.fullmatch(argument, len(prefix))
    if match is None:
        raise CommandError(error_reply)
    return match[1], match[2] or ""


def _parameters(text: str, supported: "Mapping[str, Callable[[str], bool]]") -> dict[str, str]:
    given: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        name = name.upper()
        if name in given or name not in supported or not supported[name](value):
            raise CommandError(replies.INVALID_ARGUMENTS)
        given[name] = value
    return given


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value.upper() in values


# SIZE (RFC 1870), BODY (RFC 6152, 3030), SMTPUTF8 (RFC 6531), AUTH (RFC 4954), the rest DSN (RFC 3461).
_MAIL_PARAMETERS: Mapping[str, Callable[[str], bool]] = {
    "SIZE": lambda value: value.isascii() and value.isdigit() and len(value) <= 20,
    "BODY": _one_of("7BIT", "8BITMIME", "BINARYMIME"),
    "SMTPUTF8": _one_of(""),
    "AUTH": bool,
    "RET": _one_of("FULL", "HDRS"),
    "ENVID": bool,
}
_RCPT_PARAMETERS: Mapping[str, Callable[[str], bool]] = {
    "NOTIFY": lambda value: {*value.upper().split(",")} <= {"SUCCESS", "FAILURE", "DELAY"} or value.upper() == "NEVER",
    "ORCPT": lambda value: ";" in value,
}


def _check_address(address: str, error_reply: str, *, smtputf8: bool) -> None:
    local, at, domain = address.rpartition("@")
    if (
        not at
        or not (_DOT_STRING.fullmatch(local) or _QUOTED.fullmatch(local))
        or len(local.encode("utf-8", "replace")) > 315  # SmtpAddress.MaxEmailNameLength of Exchange
    ):
        raise CommandError(error_reply)
    if not address.isascii() and (not smtputf8 or not _is_unicode(address)):
        raise CommandError(error_reply)
    form = _DOMAIN if domain.isascii() else _UDOMAIN
    if not form.fullmatch(domain) and not _is_literal(domain):
        raise CommandError(error_reply)


def _is_unicode(text: str) -> bool:
    """Return False if the bytes were not UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _is_literal(text: str) -> bool:
    if not (text.startswith("[") and text.endswith("]")):
        return False
    inner = text[1:-1]
    try:
        if inner[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return True
