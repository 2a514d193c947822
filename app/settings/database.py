"""Validation of POSTERN_DATABASE_URL. It may contain a password: errors show it only if it has no `@`, `?` and `=`.

An unencoded reserved character would end the password early, and errors would show the rest as a host or a path. So
ambiguous URLs are refused (RFC 3986 §3.2).
"""

import re

from app.secret_text import SecretTextError, validate
from app.settings.validators import setting_error

_SERVER = re.compile(r"postgres(?:ql)?://(?P<authority>[^/?#]*)(?P<rest>.*)")
_NAME = re.compile(r"/[^/?]")  # of a database, behind the host
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]{1,5})?")
_RIGHT = "Give sqlite:///path/to/postern.db or postgresql://user:password@host/name"
_ENCODE = (
    "Percent-encode each of @ : / # ? % [ ] in the user and in the password: @ is %40, : is %3A, / is %2F, # is %23"
)


def url(value: str) -> str:
    """Return the URL if it is empty, `sqlite:///path` or `postgresql://user@host/name`. Raises a setting error."""
    try:
        validate(value)
    except SecretTextError as error:
        raise setting_error(None, error.fault, error.fix, hide=True) from None
    file = value.startswith("sqlite:///") and value != "sqlite:///" and ":memory:" not in value
    if not value or file:
        return value
    server = _SERVER.fullmatch(value)
    if server is None:
        raise setting_error(
            None, "is not a database that keeps mail", _RIGHT, hide=any(sign in value for sign in "@?=")
        )
    _check(server["authority"], server["rest"])
    return value


def is_server(value: str) -> bool:
    """Return whether the URL is a database server, which several processes can share."""
    return _SERVER.match(value) is not None


def _check(authority: str, rest: str) -> None:
    """Check for ambiguity. Raises a setting error that never shows the URL."""
    user, at, host = authority.rpartition("@")
    unreserved = "@" not in user + rest and user.count(":") <= 1 and "#" not in rest and not _PERCENT.search(user)
    if not unreserved or " " in authority + rest:
        what = "has a reserved character in it that is not percent-encoded, or more than one @"
        raise setting_error(None, what, _ENCODE, hide=True)
    if not _PORT.fullmatch(host):
        what = "has a port that is no number" if at else "has a port that is no number, or a password without its @"
        raise setting_error(None, what, f"{_ENCODE}. {_RIGHT}", hide=True)
    if not _NAME.match(rest):
        raise setting_error(None, "is not a database that keeps mail", _RIGHT, hide=True)
