"""App registrations, client authentication (RFC 6749 §2.3, RFC 7523 §3), and the record of a token request."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, NamedTuple

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from app.simulator.entra.denial import DenialError

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = ["PS256", "RS256"]
_EXCHANGE = "api://AzureADTokenExchange"


class TokenRequest(NamedTuple):
    """Token request. `method` is secret, certificate, federated or identity; `outcome` is ok or the code."""

    at: float
    client_id: str
    method: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Federation:
    """Federated credential: an issuer whose tokens authenticate the app. `key` is its public key in PEM."""

    issuer: str
    subject: str
    key: str
    audience: str = _EXCHANGE


@dataclass(frozen=True, slots=True)
class App:
    """App registration. `certificates` are in PEM."""

    client_id: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    certificates: tuple[str, ...] = ()
    federations: tuple[Federation, ...] = ()


class Directory:
    """App registrations of one tenant."""

    def __init__(self, apps: Iterable[App] = ()) -> None:
        self._apps = {app.client_id: app for app in apps}

    def add(self, app: App) -> None:
        """Add an app; it replaces the one with the same client id."""
        self._apps[app.client_id] = app

    def authenticate(self, form: Mapping[str, str], audience: str) -> str:
        """Authenticate an app and return the method: secret, certificate or federated. Raises DenialError.

        `audience` is the token endpoint. Assertions have times of the system clock and are checked against it.
        """
        app = self._apps.get(form.get("client_id", ""))
        if app is None:
            raise DenialError("AADSTS700016")
        if "client_assertion" in form:
            if form.get("client_assertion_type") != _JWT_BEARER:
                raise DenialError("AADSTS50027")
            return _assertion(app, form["client_assertion"], audience)
        if "client_secret" not in form:
            raise DenialError("AADSTS7000218")
        given = form["client_secret"].encode()
        if not any(compare_digest(given, secret.encode()) for secret in app.secrets):
            raise DenialError("AADSTS7000215")
        return "secret"


def _assertion(app: App, assertion: str, audience: str) -> str:
    try:
        header = jwt.get_unverified_header(assertion)
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise DenialError("AADSTS50027") from None
    if claims.get("iss") == app.client_id:
        _verify_certificate(app, assertion, header, audience)
        return "certificate"
    _verify_federated(app, assertion, claims)
    return "federated"


def _verify_certificate(app: App, assertion: str, header: Mapping[str, Any], audience: str) -> None:
    """Verify an assertion signed with a certificate of the app, selected by its thumbprint in the header."""
    found = [certificate for certificate in map(_parsed, app.certificates) if _is_named(header, certificate)]
    if not found:
        raise DenialError("AADSTS700027")
    required = ["aud", "exp", "iss", "jti", "sub"]
    _verify(assertion, found[0].public_key(), audience, {"require": required})
    if jwt.decode(assertion, options={"verify_signature": False})["sub"] != app.client_id:
        raise DenialError("AADSTS700021")


def _verify_federated(app: App, assertion: str, claims: Mapping[str, Any]) -> None:
    """Verify an assertion of a federated issuer. Issuer, subject and audience must match exactly."""
    known = [federation for federation in app.federations if federation.issuer == claims.get("iss")]
    if not known:
        raise DenialError("AADSTS700211")
    known = [federation for federation in known if federation.subject == claims.get("sub")]
    if not known:
        raise DenialError("AADSTS700213")
    if known[0].audience != claims.get("aud"):
        raise DenialError("AADSTS700212")
    _verify(assertion, known[0].key, known[0].audience, {"require": ["exp", "iss", "sub"]})


def _verify(assertion: str, key: Any, audience: str, options: Any) -> None:
    try:
        jwt.decode(assertion, key, algorithms=_ALGORITHMS, audience=audience, options=options)
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise DenialError("AADSTS700024") from None
    except jwt.InvalidAudienceError:
        raise DenialError("AADSTS700023") from None
    except jwt.MissingRequiredClaimError:
        raise DenialError("AADSTS50027") from None
    except jwt.InvalidTokenError:
        raise DenialError("AADSTS700027") from None


def _parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _is_named(header: Mapping[str, Any], certificate: x509.Certificate) -> bool:
    """Return True if the header has the thumbprint of the certificate (RFC 7515 §4.1.7, §4.1.8)."""
    sha1, sha256 = (certificate.fingerprint(algorithm) for algorithm in (hashes.SHA1(), hashes.SHA256()))  # noqa: S303 - RFC 7515
    return _same(header.get("x5t#S256"), sha256) or _same(header.get("x5t"), sha1)


def _same(named: object, fingerprint: bytes) -> bool:
    """Compare thumbprints with or without padding, which MSAL sends."""
    return isinstance(named, str) and named.rstrip("=") == base64.urlsafe_b64encode(fingerprint).rstrip(b"=").decode()
