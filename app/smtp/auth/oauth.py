"""Cache of access tokens, used until shortly before they expire, and credentials that log in with them (XOAUTH2).

Rule 1: one request runs at a time; concurrent callers share its result or error.
Rule 2: a token is renewed 10 minutes before it expires; while the renewal fails, the old token is used.
Rule 3: a token that the server rejected is discarded, and only that one.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from app import logs, metrics
from app.cached_result import CachedResult
from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.outcome.verdict import LoginMethod
from app.smtp.auth.credentials import CredentialError, LoginSecret, Mechanism, TransientTokenError
from app.smtp.auth.grants import Grant, Token

RENEW_BEFORE_EXPIRY = 600.0  # seconds; High Volume Email rejects a token with less (sasl-xoauth2 #110)
MIN_REMAINING_LIFETIME = 60.0  # seconds; a token with less is not used
RENEWAL_RETRY_INTERVAL = 30.0  # seconds after a failed renewal, while the old token is valid
_MAX_ATTEMPTS = 3
_MAX_RETRY_WAIT = 10.0  # seconds; a longer Retry-After delays the next login instead
_MAX_RETRY_AFTER = 300.0  # seconds; a longer Retry-After is shortened
P = ParamSpec("P")
T = TypeVar("T")


class _DaemonExecutor(Executor):
    """Executor with one daemon thread per call, so that a blocked call does not delay the end of the process.

    The default executor of the event loop is joined at the end. A call runs with its caller's context variables.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call in a new thread."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        call = partial(contextvars.copy_context().run, partial(fn, *args, **kwargs))
        threading.Thread(target=_run, args=(future, call), name="daemon-call", daemon=True).start()
        return future


_THREADS = _DaemonExecutor()


@dataclass(frozen=True, slots=True)
class _CachedToken:
    """Cached token. Times are of the monotonic clock."""

    value: str = field(repr=False)
    renew_at: float
    usable_until: float


class TokenSource:
    """Token cache of one (tenant, client, scope), shared by all mailboxes that use it."""

    def __init__(self, grant: Grant, clock: Clock) -> None:
        self._grant = grant
        self._clock = clock
        self._cached: _CachedToken | None = None
        self._request = CachedResult(self._fetch, 0.0, clock.monotonic)  # shared while it runs, not cached
        self._failure: CredentialError | None = None
        self._retry_at = 0.0  # after a failure

    async def token(self) -> str:
        """Return a token, valid for 10 more minutes if one can be obtained. Raises CredentialError."""
        now = self._clock.monotonic()
        if self._cached is not None and now < self._cached.renew_at:
            return self._cached.value
        outcome = self._failure if self._failure and now < self._retry_at else await self._request.get()
        if isinstance(outcome, str):
            return outcome
        if self._cached is not None and self._clock.monotonic() < self._cached.usable_until:
            return self._cached.value
        raise CredentialError(str(outcome), outcome.code)

    def forget(self, token: str) -> None:
        """Discard a token that the server rejected. A newer one stays."""
        if self._cached is not None and self._cached.value == token:
            self._cached = None

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the grant's credential."""
        return self._grant.expiry()

    async def _fetch(self) -> str | CredentialError:
        """Fetch a token with retries. A failure is returned, because several callers can wait for it."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_retryable),
            stop=stop_after_attempt(_MAX_ATTEMPTS),
            wait=_retry_delay,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            token: Token = await retrying(self._in_thread)
        except CredentialError as failure:
            return self._fail(failure)
        self._store(token)
        return token.value

    async def _in_thread(self) -> Token:
        """Fetch once in a thread. Cancellation does not wait for the thread."""
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._grant.fetch)

    def _store(self, token: Token) -> None:
        now, lifetime = self._clock.monotonic(), token.lifetime
        renew_before, min_remaining = min(RENEW_BEFORE_EXPIRY, lifetime / 2), min(MIN_REMAINING_LIFETIME, lifetime / 10)
        self._cached = _CachedToken(token.value, now + lifetime - renew_before, now + lifetime - min_remaining)
        self._failure = None
        metrics.token_requested("renewed")
        at = self._clock.now()
        metrics.token_stored(self._grant.registration.client, at=at, until=at + lifetime)
        logs.token_renewed(self._grant.registration.client, seconds=lifetime)

    def _fail(self, failure: CredentialError) -> CredentialError:
        """Store a failure without its traceback, whose frames contain the secret."""
        now = self._clock.monotonic()
        delay = RENEWAL_RETRY_INTERVAL if self._cached is not None and now < self._cached.usable_until else 0.0
        if isinstance(failure, TransientTokenError) and failure.retry_after is not None:
            delay = max(delay, min(failure.retry_after, _MAX_RETRY_AFTER))
        self._failure = CredentialError(str(failure), failure.code)
        self._retry_at = now + delay
        metrics.token_requested("failed")
        logs.token_failed(self._grant.registration.client, reason=str(failure))
        return self._failure


@dataclass(frozen=True, slots=True)
class OAuth:
    """Mailbox and the token source of its app (AUTH XOAUTH2)."""

    username: str
    source: TokenSource

    @property
    def method(self) -> LoginMethod:
        """Method of the login."""
        return LoginMethod.OAUTH

    async def secret(self) -> LoginSecret:
        """Return a valid token. Raises CredentialError."""
        return LoginSecret(Mechanism.XOAUTH2, self.username, await self.source.token())

    def reject(self, secret: LoginSecret) -> bool:
        """Discard the token. Return True: the next one is different."""
        self.source.forget(secret.value)
        return True

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the app's credential."""
        return self.source.expiry()


_backoff = wait_random_exponential(multiplier=1.0, max=4.0)


def _is_retryable(error: BaseException) -> bool:
    return (
        isinstance(error, TransientTokenError)
        and not error.do_not_retry
        and (error.retry_after is None or error.retry_after <= _MAX_RETRY_WAIT)
    )


def _retry_delay(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (
        error.retry_after
        if isinstance(error, TransientTokenError) and error.retry_after is not None
        else _backoff(state)
    )


def _run(future: "Future[Any]", call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # raised in the waiting task
        future.set_exception(error)
    else:
        future.set_result(result)
