"""Access tokens for XOAUTH2: fetched once for all who wait, kept until shortly before they end, never shown.

Rule 1: one request is under way at a time; whoever comes meanwhile shares its end, good or bad.
Rule 2: a token is renewed 10 minutes before it ends; while that fails the old one still serves.
Rule 3: a token that the server has refused is forgotten, and only that one.
"""

import asyncio
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from app import logs, metrics
from app.cached_result import CachedResult
from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.smtp.auth.credentials import Mechanism, Secret
from app.smtp.auth.daemon_executor import DaemonExecutor
from app.smtp.auth.failure import CredentialError, TransientTokenError
from app.smtp.auth.grants import Grant, Token

RENEW_BEFORE_EXPIRY = 600.0  # seconds; High Volume Email refuses a token that has less (sasl-xoauth2 #110)
MIN_REMAINING_LIFETIME = 60.0  # seconds before its end in which a token is not used any more
RENEWAL_RETRY_INTERVAL = 30.0  # seconds after a renewal that failed, while the old token serves
_MAX_ATTEMPTS = 3
_MAX_RETRY_WAIT = 10.0  # seconds between two tries; who asks for more gets it between two logins
_MAX_RETRY_AFTER = 300.0  # seconds that Retry-After is believed for
_THREADS = DaemonExecutor()


@dataclass(frozen=True, slots=True)
class _CachedToken:
    """Times are those of the clock that never jumps."""

    value: str = field(repr=False)
    renew_at: float
    usable_until: float


class TokenSource:
    """The tokens of one (tenant, client, scope), shared by every mailbox that uses them."""

    def __init__(self, grant: Grant, clock: Clock) -> None:
        self._grant = grant
        self._clock = clock
        self._held: _CachedToken | None = None
        self._request = CachedResult(self._fetch, 0.0, clock.monotonic)  # shared while it is under way, not cached
        self._failure: CredentialError | None = None
        self._rests_until = 0.0  # after a failure

    async def token(self) -> str:
        """A token that lives for another 10 minutes, or as long as can be had. Raises CredentialUnavailable."""
        now = self._clock.monotonic()
        if self._held is not None and now < self._held.renew_at:
            return self._held.value
        outcome = self._failure if self._failure and now < self._rests_until else await self._request.get()
        if isinstance(outcome, str):
            return outcome
        if self._held is not None and self._clock.monotonic() < self._held.usable_until:
            return self._held.value
        raise CredentialError(str(outcome), outcome.code)

    def forget(self, token: str) -> None:
        """The server refuses it. A newer one stays."""
        if self._held is not None and self._held.value == token:
            self._held = None

    def expiry(self) -> CredentialExpiry | None:
        """What of the grant ends by its date."""
        return self._grant.expiry()

    async def _fetch(self) -> str | CredentialError:
        """Fetch one, with a few tries where patience may help. The failure is a value: many wait for it."""
        tries = AsyncRetrying(
            retry=retry_if_exception(_may_help),
            stop=stop_after_attempt(_MAX_ATTEMPTS),
            wait=_wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            token: Token = await tries(self._in_thread)
        except CredentialError as failure:
            return self._fail(failure)
        self._keep(token)
        return token.value

    async def _in_thread(self) -> Token:
        """One try. Cancelling it does not wait for the thread."""
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._grant.fetch)

    def _keep(self, token: Token) -> None:
        now, lifetime = self._clock.monotonic(), token.lifetime
        early, last = min(RENEW_BEFORE_EXPIRY, lifetime / 2), min(MIN_REMAINING_LIFETIME, lifetime / 10)
        self._held = _CachedToken(token.value, now + lifetime - early, now + lifetime - last)
        self._failure = None
        metrics.token_requested("renewed")
        at = self._clock.now()
        metrics.token_stored(self._grant.registration.client, at=at, until=at + lifetime)
        logs.token_renewed(self._grant.registration.client, seconds=lifetime)

    def _fail(self, failure: CredentialError) -> CredentialError:
        """What is kept of it: the words, and not the frames that hold the secret."""
        now = self._clock.monotonic()
        rest = RENEWAL_RETRY_INTERVAL if self._held is not None and now < self._held.usable_until else 0.0
        if isinstance(failure, TransientTokenError) and failure.retry_after is not None:
            rest = max(rest, min(failure.retry_after, _MAX_RETRY_AFTER))
        self._failure = CredentialError(str(failure), failure.code)
        self._rests_until = now + rest
        metrics.token_requested("failed")
        logs.token_failed(self._grant.registration.client, reason=str(failure))
        return self._failure


@dataclass(frozen=True, slots=True)
class OAuth:
    """A mailbox and the source of its app's tokens (AUTH XOAUTH2)."""

    username: str
    source: TokenSource

    async def secret(self) -> Secret:
        """A token with time left. Raises CredentialUnavailable."""
        return Secret(Mechanism.XOAUTH2, self.username, await self.source.token())

    def reject(self, secret: Secret) -> bool:
        """The token is forgotten, and a new one is worth one more login."""
        self.source.forget(secret.value)
        return True

    def expiry(self) -> CredentialExpiry | None:
        """What of the app's credential ends by its date."""
        return self.source.expiry()


_backoff = wait_random_exponential(multiplier=1.0, max=4.0)


def _may_help(error: BaseException) -> bool:
    return (
        isinstance(error, TransientTokenError)
        and not error.do_not_retry
        and (error.retry_after is None or error.retry_after <= _MAX_RETRY_WAIT)
    )


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (
        error.retry_after
        if isinstance(error, TransientTokenError) and error.retry_after is not None
        else _backoff(state)
    )
