"""GET requests to Microsoft Graph (v1.0) with a token, and their errors. No request changes anything there.

Each call sends one request; `repeat` repeats a call after an error that passes.
"""

import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from app.clock import Clock
from app.mail.retry_schedule import retry_after
from app.smtp.auth.credentials import CredentialError
from app.smtp.auth.oauth import TokenSource

TIMEOUT = 60.0  # seconds of a request; 5,000 rows were measured at 2 to 4
MAX_JSON_BYTES = 32 * 1024 * 1024
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE = 401, 403, 404, 410
_OK, _THROTTLED, _SERVER_ERROR = 200, 429, 500
_DEFAULT_PAUSE = 60.0  # seconds after 429 without Retry-After
_ATTEMPTS = 3

T = TypeVar("T")


class GraphError(Exception):
    """Request without a usable answer. The text is one sentence. `transient`: a repetition can succeed at once.

    `status` is that of the answer, 0 if there was none.
    """

    def __init__(self, sentence: str, *, status: int = 0, transient: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.transient = transient


class ThrottledError(GraphError):
    """Refusal because of too many requests; the next one is allowed after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Microsoft Graph refuses requests for {seconds:.0f} s.", status=_THROTTLED)
        self.seconds = seconds


class GraphConnection:
    """Connection to Graph as one app. `base` is its address without a path; `fixes` are sentences by status."""

    def __init__(
        self, base: str, source: TokenSource, clock: Clock, trust: ssl.SSLContext, fixes: Mapping[int, str]
    ) -> None:
        self.base = base.rstrip("/")
        self._source = source
        self._clock = clock
        self._fixes = fixes
        self._ahead = 0.0
        self._http = httpx.AsyncClient(verify=trust, timeout=TIMEOUT, follow_redirects=False)

    def service_time(self) -> float:
        """Return epoch seconds of Microsoft's clock, as far as it is known."""
        return self._clock.now() + self._ahead

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def check_link(self, link: str) -> str:
        """Return a link of an answer. Raises GraphError if it leads to another host, which would get the token.

        The status is GONE: a stored link is of no use after a change of the address.
        """
        if urlsplit(link)[:2] != urlsplit(self.base)[:2]:
            raise GraphError("A link of Microsoft Graph leads to another host.", status=GONE)
        return link

    async def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Return the object of an answer. Raises GraphError."""
        content = await self.get(url, MAX_JSON_BYTES + 1, headers)
        try:
            if len(content) <= MAX_JSON_BYTES and isinstance(document := json.loads(content), dict):
                return document
        except (ValueError, RecursionError):
            pass
        raise GraphError("Microsoft Graph gave no readable answer.", transient=True)

    async def get(self, url: str, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the first `limit` bytes of an answer. Raises GraphError."""
        try:
            token = await self._source.token()
        except CredentialError as error:
            raise GraphError(f"There is no token for Microsoft Graph: {error}") from None
        try:
            authorized = {**(headers or {}), "Authorization": f"Bearer {token}"}
            async with self._http.stream("GET", url, headers=authorized) as response:
                self._read_date(response)
                if response.status_code == UNAUTHORIZED:
                    self._source.forget(token)
                self._check(response)
                return await _read(response, limit)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise GraphError(f"Microsoft Graph gave no answer ({type(error).__name__}).", transient=True) from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == _THROTTLED:
            header = response.headers.get("Retry-After", "")
            raise ThrottledError(retry_after(header, self._clock.now()) or _DEFAULT_PAUSE)
        if status != _OK:
            sentence = f"Microsoft Graph answered {status}. {self._fixes.get(status, '')}".rstrip()
            raise GraphError(sentence, status=status, transient=status >= _SERVER_ERROR)

    def _read_date(self, response: httpx.Response) -> None:
        """Learn how far Microsoft's clock is ahead of ours; the Date has whole seconds."""
        try:
            self._ahead = parsedate_to_datetime(response.headers["Date"]).timestamp() - self._clock.now()
        except (KeyError, ValueError, TypeError, OverflowError):
            return


async def repeat(send: Callable[[], Awaitable[T]], clock: Clock, on_throttled: Callable[[ThrottledError], None]) -> T:
    """Send a request until it has an answer, at most three times after other errors than 429. Raises GraphError."""

    async def once() -> T:
        while True:
            try:
                return await send()
            except ThrottledError as error:
                on_throttled(error)
                await clock.sleep(error.seconds)

    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, GraphError) and error.transient),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=2.0, max=30.0),
        sleep=clock.sleep,
        reraise=True,
    )
    result: T = await retrying(once)
    return result


async def _read(response: httpx.Response, limit: int) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) >= limit:
            break
    return bytes(content[:limit])
