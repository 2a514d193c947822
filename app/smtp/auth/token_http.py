"""HTTP to a token endpoint: MSAL's client, with a total deadline, a size limit, verified TLS and no redirects.

A refusal becomes an exception here, because only here are the status and the whole answer known; MSAL passes it on.
MSAL is synchronous: a request runs on an event loop of its own in MSAL's thread, since only there does a deadline hold
for name lookup, handshake, headers and body together, however slowly each of them comes.
"""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from app.mail import retry_after
from app.mail.office365 import entra
from app.smtp import tls
from app.smtp.auth.failure import ResponseTooLargeError, TokenRefusedError, TransientTokenError

DEADLINE = 15.0  # seconds for all requests that one token needs
MAX_RESPONSE_BYTES = 256 * 1024  # bytes; Microsoft Entra's largest, its OpenID configuration, has some 2,000
_CONNECT = 5.0  # seconds
_HEADERS = {"Connection": "close", "Accept-Encoding": "identity"}  # needed for a second or two in an hour
_CHALLENGE = 401  # with WWW-Authenticate: Azure Arc's first answer, which MSAL deals with
_OK, _SERVER_ERROR = 200, 500
_BUSY = frozenset({408, 429})
_IDENTITY_BUSY = frozenset({404, 410})  # of the identity endpoint (Microsoft Learn, "how to use VM token")
_NUMBER = re.compile(r"\bAADSTS\d{4,}")
_UNKNOWN_IDENTITY = re.compile(r"identity (was )?not found|no .{0,60}managed identity found", re.IGNORECASE)
_ERROR = re.compile(r"[A-Za-z_]{1,60}")
_TRACE = re.compile(r"[0-9a-fA-F-]{36}")


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A response in the form that MSAL reads."""

    status_code: int
    text: str = field(repr=False)
    headers: httpx.Headers = field(repr=False)

    def raise_for_status(self) -> None:
        """Do nothing: an Endpoint returns no answer that is not a success."""


class TokenHttpClient:
    """The HTTP client of MSAL, for one token. `identity`: for the managed identity endpoint, which no proxy can reach.

    Its deadline begins when it is made.
    """

    def __init__(self, ca_file: Path | None, *, identity: bool = False, deadline: float = DEADLINE) -> None:
        self._trust = tls.context(ca_file)
        self._identity = identity
        self._ends = time.monotonic() + deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, url: str, **more: Any) -> TokenResponse:
        """Raises Refused, Passing."""
        return self._ask("GET", url, more)

    def post(self, url: str, **more: Any) -> TokenResponse:
        """Raises Refused, Passing."""
        return self._ask("POST", url, more)

    def close(self) -> None:
        """Nothing is open between two requests."""

    def _ask(self, method: str, url: str, more: Mapping[str, Any]) -> TokenResponse:
        host = urlsplit(url).hostname or url
        code = "identity-endpoint" if self._identity else ""
        try:
            answer = asyncio.run(self._exchange(method, url, more))
        except TimeoutError:
            raise TransientTokenError(f"{host} did not answer in time.", code, do_not_retry=True) from None
        except ResponseTooLargeError:
            raise TransientTokenError(
                f"{host} sent more than {MAX_RESPONSE_BYTES:,} bytes.", code, do_not_retry=True
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if _is_tls(error):
                why = f"The certificate of {host} cannot be trusted."
                raise TransientTokenError(why, "token-endpoint-untrusted") from None
            raise TransientTokenError(f"{host} {_reason(error)}.", code) from None
        self._check(host, answer)
        return answer

    async def _exchange(self, method: str, url: str, more: Mapping[str, Any]) -> TokenResponse:
        """One request. Raises TimeoutError, _TooLarge, httpx.HTTPError, httpx.InvalidURL, OSError."""
        client = httpx.AsyncClient(
            verify=self._trust,
            trust_env=not self._identity,  # HTTPS_PROXY and NO_PROXY
            timeout=httpx.Timeout(None, connect=_CONNECT),
            follow_redirects=False,
        )
        headers = {**_HEADERS, **_given(more.get("headers"))}
        params, data = _given(more.get("params")), _given(more.get("data"))
        async with (
            asyncio.timeout(self._ends - time.monotonic()),
            client,
            client.stream(method, url, headers=headers, params=params or None, data=data or None) as response,
        ):
            return TokenResponse(response.status_code, await _body(response), response.headers)

    def _check(self, host: str, answer: TokenResponse) -> None:
        """Raise for whatever is no success."""
        if answer.status_code == _CHALLENGE and self._identity and "WWW-Authenticate" in answer.headers:
            return
        said = _document(answer)
        if answer.status_code == _OK and "error" not in said:
            return
        error = _word(said.get("error"))
        text = f"{said.get('error_description') or ''} {said.get('message') or ''}"
        code = _code(said, text, error)
        sentence = _sentence(host, answer.status_code, said, text, error)
        row = entra.row(code)
        if self._is_passing(answer.status_code) or (row is not None and not row.hold):
            raise TransientTokenError(sentence, code if row is not None and not row.hold else "", _retry_after(answer))
        raise TokenRefusedError(sentence, code, error)

    def _is_passing(self, status: int) -> bool:
        return status >= _SERVER_ERROR or status in _BUSY or (self._identity and status in _IDENTITY_BUSY)


async def _body(response: httpx.Response) -> str:
    """The body as text. It is read as it came, without decompression. Raises _TooLarge."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise ResponseTooLargeError
    return content.decode("utf-8", "replace")


def _given(parameters: Mapping[str, str | bytes | None] | None) -> dict[str, str]:
    """Parameters as MSAL expects a client to send them: None is not sent, and a signed assertion comes as bytes."""
    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in given.items()}


def _is_tls(error: BaseException | None) -> bool:
    """True if TLS is the cause of an error."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _document(answer: TokenResponse) -> Mapping[str, Any]:
    """The JSON object, or {"error": ""} for whatever else came: MSAL never sees what it cannot read."""
    with suppress(ValueError, RecursionError):
        said = json.loads(answer.text)
        if isinstance(said, dict):
            return said
    return {"error": ""}


def _word(error: object) -> str:
    """OAuth's error, and nothing that could be anything else (RFC 6749 §5.2); Service Fabric nests it."""
    if isinstance(error, dict):
        error = error.get("code")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _code(said: Mapping[str, Any], text: str, error: str) -> str:
    """The name by which a row knows it: the AADSTS number if one does, else OAuth's error."""
    if _UNKNOWN_IDENTITY.search(text):
        return "identity-unknown"
    listed = said.get("error_codes")
    numbers = _NUMBER.findall(text) + [f"AADSTS{one}" for one in (listed if isinstance(listed, list) else ())]
    return next((number for number in numbers if entra.row(number)), error)


def _sentence(host: str, status: int, said: Mapping[str, Any], text: str, error: str) -> str:
    """Facts alone: the endpoint's own text could hold anything."""
    number = _NUMBER.search(text)
    names = ", ".join(name for name in (number.group() if number else "", error) if name)
    trace = said.get("trace_id")
    known = f"; trace id {trace}" if isinstance(trace, str) and _TRACE.fullmatch(trace) else ""
    return f"{host} answered {status}{f' ({names})' if names else ''}{known}."


def _retry_after(answer: TokenResponse) -> float | None:
    return retry_after.from_number(answer.headers.get("Retry-After", ""))


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    return (
        "cannot be reached"
        if isinstance(error, httpx.NetworkError | httpx.ProxyError | OSError)
        else "gave no readable answer"
    )
