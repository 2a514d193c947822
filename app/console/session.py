"""Sessions of the console: sealed cookies, the tokens of forms, and the delay of attempts to log in.

A session is in its cookie, so that every replica with the same password knows it; the store has those that were logged
out. The key of the seal comes from the password by scrypt: a cookie that was stolen does not make the password easy to
find, and a new password ends all sessions.
"""

import hmac
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import scrypt, sha256
from ipaddress import IPv6Address, ip_address

LIFE = 8 * 3600.0  # seconds of a session
LONGEST_DELAY = 5.0  # seconds that an attempt waits at most, whatever was tried before
_FREE = 3  # attempts of one address in a minute that do not wait
_FIRST_DELAY = 0.25  # seconds of the next one; each one more doubles it
_COUNTED = 9  # attempts of one address after which the delay grows no more
_ALL = 12  # attempts of all addresses that count as one of each
_MINUTE = 60.0
_ADDRESSES = 1000  # remembered at once


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor, an `operator` once the password was right. `nonce` tells one session from another."""

    operator: bool
    until: float
    nonce: str


class Sessions:
    """Begins, reads and ends them."""

    def __init__(self, password: str) -> None:
        self._key = scrypt(password.encode(), salt=b"postern console", n=2**14, r=8, p=1, dklen=32)
        self._password = sha256(password.encode()).digest()

    def check_password(self, password: str) -> bool:
        """Whether it is the password; no time taken tells how much of it is right."""
        return hmac.compare_digest(sha256(password.encode("utf-8", "surrogatepass")).digest(), self._password)

    def begin(self, now: float, *, operator: bool) -> Session:
        """A new one, good for LIFE."""
        return Session(operator, float(int(now + LIFE)), secrets.token_hex(16))

    def cookie(self, session: Session) -> str:
        """As its visitor keeps it."""
        body = f"{'operator' if session.operator else 'guest'}.{session.until:.0f}.{session.nonce}"
        return f"{body}.{self._sign('cookie', body)}"

    def read(self, cookie: str | None, now: float) -> Session | None:
        """The session of a cookie that is ours and not over. The store knows whether it was logged out."""
        body, _, seal = (cookie or "").rpartition(".")
        if not (seal.isascii() and hmac.compare_digest(seal, self._sign("cookie", body))):
            return None
        kind, until, nonce = body.split(".")
        if now >= float(until):
            return None
        return Session(kind == "operator", float(until), nonce)

    def token(self, session: Session) -> str:
        """What a form of this session has to bear, which no other site can know."""
        return self._sign("form", session.nonce)

    def check_csrf_token(self, session: Session, token: str) -> bool:
        """Whether it is that token."""
        return token.isascii() and hmac.compare_digest(token, self.token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


class LoginThrottle:
    """Delays attempts to log in by those of the last minute, and refuses none: who has the password always gets in.

    An attempt waits before its password is compared, so that the delay says nothing of it. Counted are the attempts of
    an address, and those of all. Times are those of one monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._own: dict[str, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=_COUNTED * _ALL)

    def begin(self, address: str, now: float) -> float:
        """An attempt begins; the seconds that it has to wait."""
        network = _network(address)
        own = self._own.pop(network, None) or deque(maxlen=_COUNTED)
        while len(self._own) >= _ADDRESSES:
            del self._own[next(iter(self._own))]
        self._own[network] = own
        delay = max(_delay(_recent(own, now)), _delay(_recent(self._all, now) // _ALL))
        own.append(now)
        self._all.append(now)
        return delay

    def succeed(self, address: str) -> None:
        """It had the password, and is not counted any more."""
        for attempts in (self._own.get(_network(address)), self._all):
            if attempts:
                attempts.pop()


def _recent(attempts: Iterable[float], now: float) -> int:
    return sum(at > now - _MINUTE for at in attempts)


def _delay(attempts: int) -> float:
    return 0.0 if attempts < _FREE else min(LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (attempts - _FREE))


def _network(address: str) -> str:
    """Whoever has an IPv6 address has all of its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else address
