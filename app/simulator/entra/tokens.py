"""Access tokens of the simulated Entra ID: issue, validate, revoke."""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import jwt

from app.clock import Clock

TENANT = "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10"
SCOPE = "https://outlook.office365.com/.default"
_FILLER_BYTES = 700  # so that a token is as long as those of Entra


class Tokens:
    """Tokens dated by the clock of the simulator, each for one resource."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._last_revoked = 0  # serial number
        self._count = 0

    def issue(self, client_id: str, lifetime: float, resource: str, roles: Sequence[str]) -> str:
        """Issue a token for a resource with application permissions, and a lifetime in seconds of the clock."""
        self._count += 1
        now = self._clock.now()
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": int(now),
            "nbf": int(now),
            "exp": now + lifetime,
            "appid": client_id,
            "idtyp": "app",
            "roles": [*roles],
            "tid": TENANT,
            "uti": uuid4().hex,
            "serial": self._count,
            "xms_filling": secrets.token_urlsafe(_FILLER_BYTES),
        }
        return jwt.encode(claims, self._key, algorithm="HS256", headers={"kid": "simulator"})

    def is_valid(self, token: str, resource: str) -> bool:
        """Return True for a token of this resource that is neither expired nor revoked."""
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"], audience=resource, options=options)
        except jwt.InvalidTokenError:
            return False
        return bool(claims["exp"] > self._clock.now() and claims["serial"] > self._last_revoked)

    def revoke_all(self) -> None:
        """Revoke all issued tokens."""
        self._last_revoked = self._count
