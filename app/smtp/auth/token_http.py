"""HTTP client for token endpoints, used by MSAL: total deadline, size limit, verified TLS, no redirects.

An error response becomes an exception here, because MSAL does not return status and body; MSAL passes it on.
MSAL is synchronous. A request runs on its own event loop in MSAL's thread, so that one deadline covers name lookup,
TLS handshake, headers and body.
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

from app.mail.office365 import entra
from app.mail.retry_schedule import retry_after_number
from app.smtp import tls
from app.smtp.auth.credentials import ResponseTooLargeError, TokenRefusedError, TransientTokenError

DEADLINE = 15.0  # seconds for all requests that one token needs
MAX_RESPONSE_BYTES = 256 * 1024  # the largest of Microsoft Entra, its OpenID configuration, has about 2,000
_CONNECT_TIMEOUT = 5.0  # seconds
_HEADERS = {"Connection": "close", "Accept-Encoding": "identity"}  # used for seconds per hour
_CHALLENGE = 401  # with WWW-Authenticate: the first response of Azure Arc, which MSAL handles
_OK, _SERVER_ERROR = 200, 500
_BUSY = frozenset({408, 429})
_IDENTITY_BUSY = frozenset({404, 410})  # identity endpoint (Microsoft Learn, "how to use VM token")
_NUMBER = re.compile(r"\bAADSTS\d{4,}")
_UNKNOWN_IDENTITY = re.compile(r"identity (was )?not found|no .{0,60}managed identity found", re.IGNORECASE)
_ERROR = re.compile(r"[A-Za-z_]{1,60}")
_TRACE = re.compile(r"[0-9a-fA-F-]{36}")


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """HTTP response with the attributes that MSAL reads."""

    status_code: int
    text: str = field(repr=False)
    headers: httpx.Headers = field(repr=False)

    def raise_for_status(self) -> None:
        """Do nothing: the client raises for every error response."""


class TokenHttpClient:
    """HTTP client of MSAL for one token. Its deadline starts at construction.

    `identity`: for the managed identity endpoint, which is not reached through a proxy.
    """

    def __init__(self, ca_file: Path | None, *, identity: bool = False, deadline: float = DEADLINE) -> None:
        self._trust = tls.context(ca_file)
        self._identity = identity
        self._deadline = time.monotonic() + deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, url: str, **more: Any) -> TokenResponse:
        """Send a request. Raises TokenRefusedError, TransientTokenError."""
        return self._request("GET", url, more)

    def post(self, url: str, **more: Any) -> TokenResponse:
        """Send a request. Raises TokenRefusedError, TransientTokenError."""
        return self._request("POST", url, more)

    def close(self) -> None:
        """Do nothing: no connection stays open between requests."""

    def _request(self, method: str, url: str, more: Mapping[str, Any]) -> TokenResponse:
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
        """Send one request. Raises TimeoutError, ResponseTooLargeError, httpx.HTTPError, httpx.InvalidURL, OSError."""
        client = httpx.AsyncClient(
            verify=self._trust,
            trust_env=not self._identity,  # HTTPS_PROXY and NO_PROXY
            timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT),
            follow_redirects=False,
        )
        headers = {**_HEADERS, **_parameters(more.get("headers"))}
        params, data = _parameters(more.get("params")), _parameters(more.get("data"))
        async with (
            asyncio.timeout(self._deadline - time.monotonic()),
            client,
            client.stream(method, url, headers=headers, params=params or None, data=data or None) as response,
        ):
            return TokenResponse(response.status_code, await _body(response), response.headers)

    def _check(self, host: str, answer: TokenResponse) -> None:
        """Raise TokenRefusedError or TransientTokenError unless the response is a success."""
        if answer.status_code == _CHALLENGE and self._identity and "WWW-Authenticate" in answer.headers:
            return
        document = _document(answer)
        if answer.status_code == _OK and "error" not in document:
            return
        error = _error_code(document.get("error"))
        text = f"{document.get('error_description') or ''} {document.get('message') or ''}"
        code = _cause(document, text, error)
        message = _message(host, answer.status_code, document, text, error)
        row = entra.row(code)
        if self._is_transient(answer.status_code) or (row is not None and not row.hold):
            raise TransientTokenError(message, code if row is not None and not row.hold else "", _retry_after(answer))
        raise TokenRefusedError(message, code, error)

    def _is_transient(self, status: int) -> bool:
        return status >= _SERVER_ERROR or status in _BUSY or (self._identity and status in _IDENTITY_BUSY)


async def _body(response: httpx.Response) -> str:
    """Return the body as text, without decompression. Raises ResponseTooLargeError."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise ResponseTooLargeError
    return content.decode("utf-8", "replace")


def _parameters(parameters: Mapping[str, str | bytes | None] | None) -> dict[str, str]:
    """Return the parameters to send: MSAL passes None for absent ones and bytes for a signed assertion."""
    present = {name: value for name, value in (parameters or {}).items() if value is not None}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in present.items()}


def _is_tls(error: BaseException | None) -> bool:
    """Return True if the cause of an error is TLS."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _document(answer: TokenResponse) -> Mapping[str, Any]:
    """Return the JSON object, or {"error": ""} for any other body, so that MSAL never parses it."""
    with suppress(ValueError, RecursionError):
        document = json.loads(answer.text)
        if isinstance(document, dict):
            return document
    return {"error": ""}


def _error_code(error: object) -> str:
    """Return the OAuth error code (RFC 6749 §5.2), or "". Service Fabric nests it."""
    if isinstance(error, dict):
        error = error.get("code")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _cause(document: Mapping[str, Any], text: str, error: str) -> str:
    """Return the key of the cause in app/mail/office365/entra.py: a known AADSTS number, else the OAuth error."""
    if _UNKNOWN_IDENTITY.search(text):
        return "identity-unknown"
    listed = document.get("error_codes")
    numbers = _NUMBER.findall(text) + [f"AADSTS{number}" for number in (listed if isinstance(listed, list) else ())]
    return next((number for number in numbers if entra.row(number)), error)


def _message(host: str, status: int, document: Mapping[str, Any], text: str, error: str) -> str:
    """Return a sentence with status, codes and trace id. The text of the endpoint is not quoted."""
    number = _NUMBER.search(text)
    names = ", ".join(name for name in (number.group() if number else "", error) if name)
    trace = document.get("trace_id")
    known = f"; trace id {trace}" if isinstance(trace, str) and _TRACE.fullmatch(trace) else ""
    return f"{host} answered {status}{f' ({names})' if names else ''}{known}."


def _retry_after(answer: TokenResponse) -> float | None:
    return retry_after_number(answer.headers.get("Retry-After", ""))


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    return (
        "cannot be reached"
        if isinstance(error, httpx.NetworkError | httpx.ProxyError | OSError)
        else "gave no readable answer"
    )
