"""HTTP to a token endpoint: MSAL's client, with bounded times, verified TLS, no redirects. The only user of requests.

A refusal becomes an exception here, because only here are the status and the whole answer known; MSAL passes it on.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from app.mail import retry_after
from app.mail.office365 import entra
from app.smtp.credentials import CredentialUnavailable

_TIMES = (5.0, 10.0)  # seconds to connect, and to wait for each part of the answer
_CHALLENGE = 401  # with WWW-Authenticate: Azure Arc's first answer, which MSAL deals with
_OK, _SERVER_ERROR = 200, 500
_BUSY = frozenset({408, 429})
_IDENTITY_BUSY = frozenset({404, 410})  # of the identity endpoint (Microsoft Learn, "how to use VM token")
_NUMBER = re.compile(r"\bAADSTS\d{4,}")
_UNKNOWN_IDENTITY = re.compile(r"identity (was )?not found|no .*managed identity found", re.IGNORECASE)
_TRACE = re.compile(r"[0-9a-fA-F-]{36}")


class Refused(CredentialUnavailable):
    """The endpoint has answered no. `error` is OAuth's word for why (RFC 6749 §5.2)."""

    def __init__(self, sentence: str, code: str, error: str) -> None:
        super().__init__(sentence, code)
        self.error = error


class Passing(CredentialUnavailable):
    """No answer, or one that asks for patience. `after` is what Retry-After says, in seconds."""

    def __init__(self, sentence: str, code: str = "", after: float | None = None) -> None:
        super().__init__(sentence, code)
        self.after = after


class Endpoint:
    """What MSAL wants of an HTTP client. `identity`: for the managed identity endpoint, which no proxy can reach."""

    def __init__(self, ca_file: Path | None, *, identity: bool = False) -> None:
        self._verify: str | bool = True if ca_file is None else str(ca_file)
        self._identity = identity
        self._session = requests.Session()
        self._session.trust_env = not identity  # HTTPS_PROXY and its kin
        self._session.headers["Connection"] = "close"  # it is needed for a second or two in an hour

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, url: str, **more: Any) -> requests.Response:
        """Raises Refused, Passing."""
        return self._ask("GET", url, more)

    def post(self, url: str, **more: Any) -> requests.Response:
        """Raises Refused, Passing."""
        return self._ask("POST", url, more)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def _ask(self, method: str, url: str, more: Mapping[str, Any]) -> requests.Response:
        host = urlsplit(url).hostname or url
        try:
            answer = self._session.request(
                method, url, timeout=_TIMES, verify=self._verify, allow_redirects=False, **more
            )
        except requests.exceptions.SSLError:
            why = f"The certificate of {host} cannot be trusted."
            raise Passing(why, "token-endpoint-untrusted") from None
        except requests.RequestException as error:
            code = "identity-endpoint" if self._identity else ""
            raise Passing(f"{host} {_reason(error)}.", code) from None
        self._check(host, answer)
        return answer

    def _check(self, host: str, answer: requests.Response) -> None:
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
            raise Passing(sentence, code if row is not None and not row.hold else "", _patience(answer))
        raise Refused(sentence, code, error)

    def _is_passing(self, status: int) -> bool:
        return status >= _SERVER_ERROR or status in _BUSY or (self._identity and status in _IDENTITY_BUSY)


def _document(answer: requests.Response) -> Mapping[str, Any]:
    """The JSON object, or {"error": ""} for whatever else came: MSAL never sees what it cannot read."""
    try:
        said = answer.json()
    except ValueError:
        return {"error": ""}
    return said if isinstance(said, dict) else {"error": ""}


def _word(error: object) -> str:
    """OAuth's error, and nothing that could be anything else (RFC 6749 §5.2); Service Fabric nests it."""
    if isinstance(error, dict):
        error = error.get("code")
    return error if isinstance(error, str) and re.fullmatch(r"[A-Za-z_]{1,60}", error) else ""


def _code(said: Mapping[str, Any], text: str, error: str) -> str:
    """The name by which a row knows it: the AADSTS number if one does, else OAuth's error."""
    if _UNKNOWN_IDENTITY.search(text):
        return "identity-unknown"
    numbers = [*_NUMBER.findall(text), *(f"AADSTS{number}" for number in said.get("error_codes") or ())]
    return next((number for number in numbers if entra.row(number)), error)


def _sentence(host: str, status: int, said: Mapping[str, Any], text: str, error: str) -> str:
    """Facts alone: the endpoint's own text could hold anything."""
    number = _NUMBER.search(text)
    names = ", ".join(name for name in (number.group() if number else "", error) if name)
    trace = said.get("trace_id")
    known = f"; trace id {trace}" if isinstance(trace, str) and _TRACE.fullmatch(trace) else ""
    return f"{host} answered {status}{f' ({names})' if names else ''}{known}."


def _patience(answer: requests.Response) -> float | None:
    return retry_after.from_number(answer.headers.get("Retry-After", ""))


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "did not answer in time"
    return "cannot be reached" if isinstance(error, requests.ConnectionError) else "gave no readable answer"
