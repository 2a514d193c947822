"""Validation of settings, alone or against one other; their names and the sentences of their errors.

POSTERN_DATABASE_URL may contain a password: errors show it only if it has no `@`, `?` and `=`. An unencoded reserved
character would end the password early, and errors would show the rest as a host or a path. So ambiguous URLs are
refused (RFC 3986 §3.2).
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import ErrorDetails, PydanticCustomError

from app.mail.message.address import AddressError, parse_address
from app.mail.routing import PatternError, pattern
from app.secret_text import SecretTextError, validate

PREFIX = "POSTERN_"

VISIBLE = re.compile("[!-~]+")  # RFC 9110 §5.5, without obs-text
NO_HEADER = "has a blank or a character outside ASCII, which HTTP headers cannot carry"
_END_OF_HOST = re.compile("[:/?#]")
_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_POOL = re.compile("[a-z0-9][a-z0-9_-]{0,62}")
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)

_MISSING = {
    "name": 'Give the pool a name such as "billing"',
    "mailbox": "Set it, for example to noreply@contoso.com",
    "mailboxes": "Give the pool at least one mailbox under [[pools.mailboxes]]",
}

_MAKE_KEY = "Make one with: openssl rand -hex 24"
_WHOLE = ("is not a whole number", "Give digits only")
_NUMBER = ("is not a number", "Give digits, with a point if needed")
_TRUTH = ("is not a boolean", "Give true or false")
_TEXT = ("is not text", "Put it between quotation marks")
_TABLE = ("is not a table", "Write [[pools]] for each pool and [[pools.mailboxes]] for each of its mailboxes")
_BY_ERROR_TYPE = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_parsing", "bool_type"), _TRUTH),
    **dict.fromkeys(("string_type", "path_type"), _TEXT),
    **dict.fromkeys(("tuple_type", "model_type", "model_attributes_type"), _TABLE),
}

_DATABASE_SERVER = re.compile(r"postgres(?:ql)?://(?P<authority>[^/?#]*)(?P<rest>.*)")
_DATABASE = re.compile(r"/[^/?]")  # of a database, behind the host
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]{1,5})?")
_DATABASES = "Give sqlite:///path/to/postern.db or postgresql://user:password@host/name"
_ENCODE = (
    "Percent-encode each of @ : / # ? % [ ] in the user and in the password: @ is %40, : is %3A, / is %2F, # is %23"
)


@dataclass(frozen=True, slots=True)
class SettingLocation:
    """Location of a mailbox's settings: `table` is `pools[0].mailboxes[2]`, or "" for the top level.

    `inherited` settings are taken from the top level. `prefix` is that of the names of all these settings.
    """

    table: str = ""
    inherited: frozenset[str] = frozenset()
    prefix: str = ""

    def full_name(self, field: str) -> str:
        """Return the name at the start of an error line: `POSTERN_CLIENT_ID` or `pools[0].mailboxes[2].client_id`."""
        name = self.prefix + field
        return variable(name) if self._at_top(field) else f"{self.table}.{name}"

    def short_name(self, field: str) -> str:
        """Return the name for use inside a sentence: `POSTERN_CLIENT_ID` or `client_id`."""
        name = self.prefix + field
        return variable(name) if self._at_top(field) else name

    def _at_top(self, field: str) -> bool:
        return not self.table or field in self.inherited


def variable(field: str) -> str:
    """Return the environment variable of a setting at top level."""
    return PREFIX + field.upper()


def path_in_file(location: Sequence[int | str]) -> str:
    """Return a location inside the file: `pools[0].mailboxes[2].client_id`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def setting_error(what: str, fix: str, *, place: str = "", hide: bool = False) -> PydanticCustomError:
    """Return an error with the sentence `place: value what. fix.`

    Without a `place` it names the validated setting and shows its value, unless that is a secret or `hide`.
    """
    return PydanticCustomError(
        "setting", "{what}", {"what": what, "fix": fix, "place": place, "hide": "yes" if hide or place else ""}
    )


def error_sentence(error: ErrorDetails, *, secret: frozenset[str], file: str) -> str:
    """Return the error line: the setting, its value unless secret, the error, the fix."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    place = context.get("place") or _place(error["loc"])
    field = error["loc"][-1]
    what, fix = context.get("what"), context.get("fix")
    if what is None:
        what, fix = _plain(error["type"], context, error["msg"], field)
    hidden = context.get("hide") or error["type"] == "missing" or isinstance(field, int) or field in secret
    hidden = hidden or all(sign in str(error["input"]) for sign in ("//", "@"))  # a URL with a user and a password
    shown = f"{error['input']!r:.80} " if not hidden and isinstance(error["input"], str | int | float) else ""
    return f"{in_file(place, file)}: {shown}{what}. {fix}."


def in_file(place: str, file: str) -> str:
    """Return the place, with the name of the file for [[pools]]."""
    return f"{file}: {place}" if file and place.startswith("pools") else place


def _place(location: tuple[int | str, ...]) -> str:
    return path_in_file(location) if location[0] == "pools" else variable(str(location[0]))


def _plain(kind: str, context: Mapping[str, Any], message: str, field: int | str) -> tuple[str, str]:
    """Return the error and the fix of an error of pydantic."""
    match kind:
        case "missing":
            return "is missing", _MISSING[str(field)]
        case "too_short":
            return "is empty", _MISSING[str(field)]
        case "greater_than_equal":
            return "is too small", f"Give {context['ge']} or more"
        case "less_than_equal":
            return "is too large", f"Give {context['le']} or less"
        case "literal_error":
            return "is not one of the choices", f"Give {context['expected']}"
        case _:
            return _BY_ERROR_TYPE.get(kind, (message[:1].lower() + message[1:], "See deploy/docs/settings.md"))


def mailbox(value: str) -> str:
    """Return the address in lower case, so that a mailbox has one name. Display names are refused."""
    try:
        address = parse_address(value)
        own = pattern(address.addr_spec)  # a wildcard in it is a PatternError
    except (AddressError, PatternError):
        raise setting_error("is not an email address", "Give one such as noreply@contoso.com") from None
    if address.display_name:
        raise setting_error("has a display name", f"Give the address alone: {address.addr_spec}")
    return own


def sender(value: str) -> str:
    """Return the address, with or without a display name."""
    try:
        return parse_address(value).render()
    except AddressError:
        raise setting_error("is not an email address", "Give one such as Contoso <noreply@contoso.com>") from None


def patterns(value: Any) -> Any:
    """Return normalized sender patterns from `*@contoso.com, invoices@contoso.com` or a list."""
    fix = 'Give patterns such as ["*@contoso.com", "invoices@contoso.com"]'
    return tuple(dict.fromkeys(_pattern(item) for item in _items(value, "is not a list of senders", fix)))


def networks(value: Any) -> Any:
    """Return trusted networks from `10.1.2.3, 10.2.0.0/16` or a list. Nothing ambiguous is accepted."""
    fix = 'Give addresses or networks such as ["10.1.2.3", "10.2.0.0/16"]'
    return tuple(_network(item.strip()) for item in _items(value, "is not a list of addresses", fix))


def _items(value: Any, what: str, fix: str) -> list[str]:
    """Return the items, without blank ones, of a list or of a text with commas."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise setting_error(what, fix)
    return [item for item in given if item.strip()]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text)).removesuffix("/32").removesuffix("/128")
    except ValueError as error:
        fix = "Give addresses or networks with commas, such as 10.1.2.3 or 10.2.0.0/16"
        raise setting_error(f"has an invalid address or network: {error}", fix) from None


def _pattern(text: str) -> str:
    try:
        return pattern(text)
    except PatternError as error:
        what = f"has an invalid sender pattern: {text.strip()!r:.60}, {error}"
        raise setting_error(what, "Give an address, *@contoso.com, *@*.contoso.com or * alone") from None


def pool_name(value: str) -> str:
    """Return a valid pool name. Names appear in the store, logs and metrics."""
    if _POOL.fullmatch(value):
        return value
    raise setting_error(
        "is not a valid pool name",
        "Give 1 to 63 lower-case letters, digits, _ or -, beginning with a letter or digit, such as billing",
    )


def role(value: str, *, shared: bool) -> str:
    """Return the role. An embedded database (not `shared`) allows `all` only, because it has one process."""
    if value == "all" or shared:
        return value
    raise setting_error(
        "needs a database server, because an embedded database allows one process only",
        "Give all, or set POSTERN_DATABASE_URL to postgresql://user:password@host/name",
    )


def host_name(value: str) -> str:
    """Return a DNS name or an address without scheme and port."""
    if "://" in value:
        host = _END_OF_HOST.split(value.split("://", 1)[1].rpartition("@")[2], maxsplit=1)[0]
        raise setting_error("is a URL", f"Give the host alone: {host}")
    if _is_address(value) or _NAME.fullmatch(value):
        return value
    if value.count(":") == 1:
        raise setting_error("has a port in it", "Give the host here and the port in POSTERN_SMTP_PORT")
    raise setting_error("is not a host name", "Give a name such as smtp.office365.com")


def smtp_port(value: int) -> int:
    """Return the port. 465 (implicit TLS) is refused."""
    if value == 465:
        raise setting_error(
            "is implicit TLS (SSL), which Office 365 does not offer", "It offers STARTTLS on 587 only: give 587"
        )
    if not 0 < value < 65536:
        raise setting_error("is not a port", "Give 587")
    return value


def listen_port(value: Any) -> Any:
    """Return the port. Kubernetes sets a URL here for a Service named postern, which is refused."""
    if isinstance(value, str) and value.startswith("tcp://"):
        raise setting_error(
            "was put there by Kubernetes for a Service of this name",
            "Set enableServiceLinks: false in the pod, or set POSTERN_PORT yourself",
        )
    return value


def root_path(value: str) -> str:
    """Return the path without a slash at the end; `/` becomes empty."""
    plain = value.rstrip("/")
    if not plain or _ROOT.fullmatch(plain):
        return plain
    raise setting_error("is not a path", "Give one such as /mail, with a slash at the start and without a host")


def ehlo_name(value: str) -> str:
    """Return a full domain name or an address literal (RFC 5321 §4.1.3); Exchange refuses others with 501 5.5.4."""
    if not value or (_NAME.fullmatch(value) and "." in value):
        return value
    if value.startswith("[") and value.endswith("]") and _is_address(value[1:-1].removeprefix("IPv6:")):
        return value
    raise setting_error(
        "is not a full domain name", "Give one such as postern.contoso.com: no underscore, no dot at the end"
    )


def ca_file(value: Path) -> Path:
    """Return the path of a PEM file with at least one certificate."""
    if not os.path.isfile(value):  # False also for a value that is too long for a path
        raise setting_error("is not a file that can be read", "Give the path of a PEM file with the CA's certificate")
    try:
        ssl.create_default_context(cafile=value)
    except (ssl.SSLError, OSError):
        raise setting_error(
            "has no certificate in PEM form", "Give a file that begins with BEGIN CERTIFICATE"
        ) from None
    return value


def api_key(value: SecretStr) -> SecretStr:
    """Return a key of at least 16 characters that an HTTP header can carry (RFC 6750 §2.1)."""
    if not VISIBLE.fullmatch(value.get_secret_value()):
        raise setting_error(NO_HEADER, _MAKE_KEY)
    if len(value.get_secret_value()) < 16:
        raise setting_error("is shorter than 16 characters", _MAKE_KEY)
    return value


def metadata_days(value: int, content: int) -> int:
    """Return the days for metadata, which must not be fewer than those for content."""
    if value < content:
        raise setting_error(
            f"is less than POSTERN_KEEP_CONTENT_DAYS, which is {content}",
            f"Give {content} or more, or keep contents for {value} days at most",
        )
    return value


def console_password(value: SecretStr) -> SecretStr:
    """Return a password of at least 12 characters, because login attempts are slowed down but not limited."""
    if len(value.get_secret_value()) < 12:
        raise setting_error("is shorter than 12 characters", "Make one with: openssl rand -hex 12")
    return value


def console_read_password(value: SecretStr | None, operators: SecretStr | None) -> None:
    """Check that the read-only password of the console is beside another one for operators."""
    if value is None:
        return
    if operators is None:
        raise setting_error("has no effect without POSTERN_CONSOLE_PASSWORD", "Set the operators' password, too")
    if value.get_secret_value() == operators.get_secret_value():
        raise setting_error("is the same as POSTERN_CONSOLE_PASSWORD", "Make another with: openssl rand -hex 12")


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def database_url(value: str) -> str:
    """Return the URL if it is empty, `sqlite:///path` or `postgresql://user@host/name`. Raises a setting error."""
    try:
        validate(value)
    except SecretTextError as error:
        raise setting_error(error.fault, error.fix, hide=True) from None
    file = value.startswith("sqlite:///") and value != "sqlite:///" and ":memory:" not in value
    if not value or file:
        return value
    server = _DATABASE_SERVER.fullmatch(value)
    if server is None:
        raise setting_error("is not a database that keeps mail", _DATABASES, hide=any(sign in value for sign in "@?="))
    _check_database_url(server["authority"], server["rest"])
    return value


def is_database_server(value: str) -> bool:
    """Return whether the URL is a database server, which several processes can share."""
    return _DATABASE_SERVER.match(value) is not None


def _check_database_url(authority: str, rest: str) -> None:
    """Check for ambiguity. Raises a setting error that never shows the URL."""
    user, at, host = authority.rpartition("@")
    unreserved = "@" not in user + rest and user.count(":") <= 1 and "#" not in rest and not _PERCENT.search(user)
    if not unreserved or " " in authority + rest:
        what = "has a reserved character in it that is not percent-encoded, or more than one @"
        raise setting_error(what, _ENCODE, hide=True)
    if not _HOST_AND_PORT.fullmatch(host):
        what = "has a port that is no number" if at else "has a port that is no number, or a password without its @"
        raise setting_error(what, f"{_ENCODE}. {_DATABASES}", hide=True)
    if not _DATABASE.match(rest):
        raise setting_error("is not a database that keeps mail", _DATABASES, hide=True)
