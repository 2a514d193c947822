"""Sessions of the console: signed cookies, CSRF tokens, and the throttle of login attempts.

The cookie contains the whole session, so every replica with the same password accepts it. The store has the sessions
that were logged out. scrypt derives the signing key from the password of the role: a stolen cookie does not help to
guess the password, and a new password ends all sessions of its role.
"""

import hmac
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import scrypt, sha256
from ipaddress import IPv6Address, ip_address

from app.mail.times import HOUR, MINUTE

SESSION_LIFETIME = 8 * HOUR  # seconds
MAX_LOGIN_DELAY = 5.0  # seconds
_UNDELAYED_ATTEMPTS = 3  # of one address in a minute
_FIRST_DELAY = 0.25  # seconds; doubles with each further attempt
_MAX_COUNTED = 9  # attempts of one address after which the delay does not grow
_ALL_ADDRESSES_DIVISOR = 12  # attempts of all addresses that count as one attempt of a single address
_MAX_ADDRESSES = 1000  # with stored attempts


class Role(StrEnum):
    """Rights of a session. In the cookie."""

    GUEST = "guest"  # before the login
    READER = "reader"  # may read, and change nothing
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """Session of a browser. `expires_at` is in epoch seconds."""

    role: Role
    expires_at: float
    nonce: str

    @property
    def logged_in(self) -> bool:
        """True after the login with either password."""
        return self.role is not Role.GUEST


@dataclass(frozen=True, slots=True)
class _RoleSecrets:
    """Signing key and digest of the password of one role."""

    key: bytes
    digest: bytes

    @classmethod
    def from_password(cls, password: str) -> "_RoleSecrets":
        key = scrypt(password.encode(), salt=b"postern console", n=2**14, r=8, p=1, dklen=32)
        return cls(key, sha256(password.encode()).digest())


class Sessions:
    """Signs and verifies session cookies and CSRF tokens. `read_password` None: there is no read-only role."""

    def __init__(self, password: str, read_password: str | None = None) -> None:
        self._secrets = {Role.OPERATOR: _RoleSecrets.from_password(password)}
        if read_password is not None:
            self._secrets[Role.READER] = _RoleSecrets.from_password(read_password)

    def role_of(self, password: str) -> Role | None:
        """Return the role of the password; None if it is wrong. The comparisons take constant time."""
        given = sha256(password.encode("utf-8", "surrogatepass")).digest()
        right = [
            role for role, role_secrets in self._secrets.items() if hmac.compare_digest(given, role_secrets.digest)
        ]
        return right[0] if right else None

    def begin(self, now: float, role: Role) -> ConsoleSession:
        """Create a session that lasts SESSION_LIFETIME."""
        return ConsoleSession(role, float(int(now + SESSION_LIFETIME)), secrets.token_hex(16))

    def cookie(self, session: ConsoleSession) -> str:
        """Return the cookie value: role, expiry and nonce, and their signature."""
        body = f"{session.role}.{session.expires_at:.0f}.{session.nonce}"
        return f"{body}.{self._sign(session.role, 'cookie', body)}"

    def read(self, cookie: str | None, now: float) -> ConsoleSession | None:
        """Return the session of a valid cookie that has not expired, or None. Logouts are in the store, not here."""
        body, _, signature = (cookie or "").rpartition(".")
        role = _role(body)
        if role is None or not signature.isascii():
            return None
        if not hmac.compare_digest(signature, self._sign(role, "cookie", body)):
            return None
        _, expires_at, nonce = body.split(".")
        return ConsoleSession(role, float(expires_at), nonce) if now < float(expires_at) else None

    def token(self, session: ConsoleSession) -> str:
        """Return the CSRF token of this session's forms."""
        return self._sign(session.role, "form", session.nonce)

    def check_csrf_token(self, session: ConsoleSession, token: str) -> bool:
        """Return whether the token is that of the session."""
        return token.isascii() and hmac.compare_digest(token, self.token(session))

    def _sign(self, role: Role, purpose: str, text: str) -> str:
        key = self._secrets.get(role, self._secrets[Role.OPERATOR]).key
        return hmac.new(key, f"{purpose}:{text}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _role(body: str) -> Role | None:
    name = body.partition(".")[0]
    return Role(name) if name in {*Role} else None


class LoginThrottle:
    """Delays login attempts according to the attempts of the last minute, and refuses none.

    The delay comes before the password is compared, so it reveals nothing about the password. Attempts are counted for
    each address and for all addresses together. Times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._own: dict[str, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=_MAX_COUNTED * _ALL_ADDRESSES_DIVISOR)

    def begin(self, address: str, now: float) -> float:
        """Count an attempt and return its delay in seconds."""
        network = _network(address)
        own = self._own.pop(network, None) or deque(maxlen=_MAX_COUNTED)
        while len(self._own) >= _MAX_ADDRESSES:
            del self._own[next(iter(self._own))]
        self._own[network] = own
        delay = max(_delay(_recent(own, now)), _delay(_recent(self._all, now) // _ALL_ADDRESSES_DIVISOR))
        own.append(now)
        self._all.append(now)
        return delay

    def uncount_last(self, address: str) -> None:
        """Remove the last attempt of this address from the counts, because its password was right."""
        for attempts in (self._own.get(_network(address)), self._all):
            if attempts:
                attempts.pop()


def _recent(attempts: Iterable[float], now: float) -> int:
    return sum(at > now - MINUTE for at in attempts)


def _delay(attempts: int) -> float:
    return (
        0.0
        if attempts < _UNDELAYED_ATTEMPTS
        else min(MAX_LOGIN_DELAY, _FIRST_DELAY * 2.0 ** (attempts - _UNDELAYED_ATTEMPTS))
    )


def _network(address: str) -> str:
    """Return the /64 network of an IPv6 address, because one host usually has all of it; else the address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else address
