"""Who is at the console: sealed cookies, the tokens of forms, and how often a password may be guessed.

A session is in its cookie and nowhere else, so that every replica with the same password knows it. Its key comes from
the password by scrypt: a cookie that was stolen does not make the password easy to find, and a new password ends all
sessions.
"""

import hmac
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import scrypt, sha256
from ipaddress import IPv6Address, ip_address

LIFE = 8 * 3600.0  # seconds of a session
GUESSES, ALL_GUESSES = 5, 60  # wrong passwords in a minute from one address, and from all of them
MINUTE = 60.0
_ADDRESSES = 1000  # remembered at once
_ENDED = 1000  # sessions that were logged out, remembered until they would have ended


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
        self._ended: dict[str, float] = {}

    def knows(self, password: str) -> bool:
        """Whether it is the password; no time taken tells how much of it is right."""
        return hmac.compare_digest(sha256(password.encode("utf-8", "surrogatepass")).digest(), self._password)

    def begin(self, now: float, *, operator: bool) -> Session:
        """A new one, good for LIFE."""
        return Session(operator, float(int(now + LIFE)), secrets.token_hex(16))

    def cookie(self, session: Session) -> str:
        """As its visitor keeps it."""
        body = f"{'operator' if session.operator else 'guest'}.{session.until:.0f}.{session.nonce}"
        return f"{body}.{self._sealed('cookie', body)}"

    def read(self, cookie: str | None, now: float) -> Session | None:
        """The session of a cookie that is ours and not over."""
        body, _, seal = (cookie or "").rpartition(".")
        if not (seal.isascii() and hmac.compare_digest(seal, self._sealed("cookie", body))):
            return None
        kind, until, nonce = body.split(".")
        if now >= float(until) or nonce in self._ended:
            return None
        return Session(kind == "operator", float(until), nonce)

    def end(self, session: Session, now: float) -> None:
        """Logged out: its cookie opens nothing any more in this process, whoever has it."""
        self._ended = {nonce: until for nonce, until in self._ended.items() if until > now}
        while len(self._ended) >= _ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[session.nonce] = session.until

    def token(self, session: Session) -> str:
        """What a form of this session has to bear, which no other site can know."""
        return self._sealed("form", session.nonce)

    def bears(self, session: Session, token: str) -> bool:
        """Whether it is that token."""
        return token.isascii() and hmac.compare_digest(token, self.token(session))

    def _sealed(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


class Guard:
    """Counts the wrong passwords of the last minute, by address. Times are those of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._wrong: dict[str, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=ALL_GUESSES)

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0 for now."""
        own = self._wrong.get(_network(address), ())
        return max(_wait(own, GUESSES, now), _wait(self._all, ALL_GUESSES, now))

    def wrong(self, address: str, now: float) -> None:
        """It was the wrong one."""
        network = _network(address)
        mine = self._wrong.pop(network, None) or deque(maxlen=GUESSES)
        while len(self._wrong) >= _ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[network] = mine
        mine.append(now)
        self._all.append(now)


def _wait(tries: Sequence[float], most: int, now: float) -> float:
    return 0.0 if len(tries) < most else max(0.0, tries[0] + MINUTE - now)


def _network(address: str) -> str:
    """Whoever has an IPv6 address has all of its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else address
