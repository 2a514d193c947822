"""Claims of an OAuth 2.0 access token, read without verification, which only Exchange can do.

The token itself is never stored or shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import jwt

from app.doctor.finding import Finding, Step, failed, ok, warn
from app.mail.office365 import entra
from app.mail.times import minute_text

_SCOPE = entra.row("invalid_scope")
_SCOPE_FIX = _SCOPE.fix if _SCOPE else ""
_EXCHANGE = frozenset(
    {
        "https://outlook.office365.com",
        "https://outlook.office.com",
        "https://outlook.office365.us",
        "https://outlook.office.us",
        "https://partner.outlook.cn",
        "00000002-0000-0ff1-ce00-000000000000",  # Office 365 Exchange Online by its application id
    }
)
_GRAPH = frozenset(
    {
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
        "00000003-0000-0000-c000-000000000000",
    }
)
_MIN_VALIDITY = 600.0  # seconds; some front ends refuse tokens with less (sasl-xoauth2 #110)


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims that the check needs. `expires` is epoch seconds; `object_id` is the Enterprise application's."""

    audience: str
    permissions: tuple[str, ...]  # roles of an app, scopes of a user's token
    expires: float | None
    tenant: str
    app: str
    object_id: str

    @classmethod
    def read(cls, token: str) -> Self | None:
        """Parse a token; None if it is not a readable JWT (RFC 9068)."""
        claims = _payload(token)
        if claims is None:
            return None
        expires = claims.get("exp")
        return cls(
            audience=_text(claims, "aud").rstrip("/"),
            permissions=(*_texts(claims.get("roles")), *_text(claims, "scp").split()),
            expires=float(expires) if isinstance(expires, int | float) else None,
            tenant=_text(claims, "tid"),
            app=_text(claims, "appid") or _text(claims, "azp"),
            object_id=_text(claims, "oid"),
        )

    @property
    def known(self) -> Mapping[str, str]:
        """Values of the <names> in a fix."""
        names = {"client-id": self.app, "object-id": self.object_id, "tenant-id": self.tenant}
        return {name: value for name, value in names.items() if value}

    def facts(self) -> Mapping[str, str]:
        """Return the facts of the finding."""
        return {
            "audience": self.audience or "none",
            "permissions": ", ".join(self.permissions) or "none",
            "expires": "unknown" if self.expires is None else minute_text(self.expires),
            "tenant": self.tenant or "unknown",
            "client id": self.app or "unknown",
            "object id (Enterprise applications)": self.object_id or "unknown",
        }


def check_claims(claims: Claims, now: float) -> Finding:
    """Return the finding about a token: FAILED only if a login with it would certainly fail."""
    facts, step = claims.facts(), Step.CREDENTIAL
    if claims.audience in _GRAPH:
        return failed(
            step,
            "The token is for Microsoft Graph, so Exchange refuses it.",
            _SCOPE_FIX,
            facts,
        )
    if claims.expires is not None and claims.expires <= now:
        return failed(
            step,
            f"The token was issued, but it expired at {minute_text(claims.expires)}.",
            f"The clock of this machine says {minute_text(now)}: set it right (NTP).",
            facts,
        )
    return _doubts(claims, now) or ok(step, _summary(claims), facts)


def _summary(claims: Claims) -> str:
    """Return what the token permits; by RBAC for Applications the token names no permission."""
    if {"SMTP.SendAsApp", "SMTP.Send"} & set(claims.permissions):
        return "Postern has a token for Exchange."
    return (
        "Postern has a token for Exchange without a permission in it, as with RBAC for Applications: the login shows "
        "whether the app has the role Application SMTP.SendAsApp."
    )


def _doubts(claims: Claims, now: float) -> Finding | None:
    facts, step = claims.facts(), Step.CREDENTIAL
    if claims.audience not in _EXCHANGE:
        return warn(
            step,
            f"The token is for {claims.audience or 'no audience'}, which is not a known one of Exchange.",
            _SCOPE_FIX,
            facts,
        )
    if claims.expires is not None and claims.expires - now < _MIN_VALIDITY:
        return warn(
            step,
            f"The token expires within ten minutes, at {minute_text(claims.expires)}.",
            f"A new token is valid for an hour. The clock of this machine says {minute_text(now)}: check it (NTP).",
            facts,
        )
    return None


def _payload(token: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeEncodeError):  # the latter: a lone surrogate
        return None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
