"""OAuth grants for access tokens: client secret, certificate, federated token, managed identity (RFC 6749 §4.4).

Each fetch sends a request with MSAL; nothing is cached here. Files are read at every use, so that a new secret,
certificate or federated token takes effect without a restart. All calls block and must run in a thread.
This is the only module that imports msal.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msal

from app import logs
from app.mail.credential_expiry import CredentialExpiry
from app.mail.outcome.verdict import Explanation
from app.smtp.auth.client_certificate import ClientCertificate
from app.smtp.auth.credentials import (
    CertificateError,
    CredentialError,
    SecretFile,
    TokenRefusedError,
    TransientTokenError,
    read_secret_file,
    secret_value,
)
from app.smtp.auth.token_http import TokenHttpClient

_DEFAULT_SCOPE = "/.default"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1
_INVALID_CLIENT = "invalid_client"


@dataclass(frozen=True, slots=True)
class Registration:
    """App registration: authority without a path, tenant, client id, scope.

    `client` is "" for the system-assigned managed identity.
    """

    authority: str
    tenant: str
    client: str
    scope: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """Access token and its remaining lifetime in seconds."""

    value: str = field(repr=False)
    lifetime: float


class Grant(Protocol):
    """Grant that obtains access tokens."""

    @property
    def registration(self) -> Registration:
        """App registration of the grant."""
        ...

    def fetch(self) -> Token:
        """Request a token; blocks. Raises CredentialError; TransientTokenError if a retry can help."""
        ...

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the credential, if it is known."""
        ...


class ClientSecret:
    """Client secret, with further ones during a rotation. The secret that worked last is tried first."""

    def __init__(self, registration: Registration, secret: str | SecretFile, *more: str | SecretFile) -> None:
        self.registration = registration
        self._secrets = [secret, *more]

    def fetch(self) -> Token:
        """Try each secret until one is accepted. Raises the first refusal."""
        refusals: list[CredentialError] = []
        for secret in tuple(self._secrets):
            try:
                token = _confidential(self.registration, secret_value(secret))
            except TransientTokenError:
                raise
            except CredentialError as refusal:
                refusals.append(refusal.with_traceback(None))  # its frames contain the secret
                if isinstance(refusal, TokenRefusedError) and refusal.error != _INVALID_CLIENT:
                    break  # the cause is not the secret
            else:
                self._prefer(secret)
                return token
        raise refusals[0]

    def expiry(self) -> CredentialExpiry | None:
        """Return None: only Microsoft Entra has the date."""
        return None

    def _prefer(self, secret: str | SecretFile) -> None:
        if secret is self._secrets[0]:
            return
        self._secrets.sort(key=lambda candidate: candidate is not secret)
        logs.credential_rotated(self.registration.client)


@dataclass(frozen=True, slots=True)
class CertificateGrant:
    """Grant by an assertion signed with the app's certificate (PS256, x5t#S256; RFC 7523)."""

    registration: Registration
    path: Path
    password: str | SecretFile | None = field(default=None, repr=False)

    def fetch(self) -> Token:
        """Request a token with the current content of the file."""
        certificate = self._certificate()
        credential = {"private_key": certificate.private_key, "public_certificate": certificate.certificate}
        return _confidential(self.registration, credential)

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the certificate; None if the file is unreadable."""
        try:
            at = self._certificate().expires_at
        except CredentialError:
            return None
        return CredentialExpiry("client certificate", at, _NEW_CERTIFICATE)

    def _certificate(self) -> ClientCertificate:
        password = None if self.password is None else secret_value(self.password)
        try:
            return ClientCertificate.load(read_secret_file(self.path), password)
        except CertificateError as error:
            raise CredentialError(f"The file {self.path} {error}.", "credential-file") from None


@dataclass(frozen=True, slots=True)
class FederatedToken:
    """Workload identity federation: a token of another issuer in a file, which an external process renews."""

    registration: Registration
    path: Path

    def fetch(self) -> Token:
        """Request a token with the current token in the file."""
        assertion = SecretFile(self.path).read().strip()
        return _confidential(self.registration, {"client_assertion": lambda: assertion})

    def expiry(self) -> CredentialExpiry | None:
        """Return None: an external process renews the token."""
        return None


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """Managed identity of an Azure machine or app; user-assigned if the registration has a client id."""

    registration: Registration

    def fetch(self) -> Token:
        """Request a token from the identity endpoint of the machine, which MSAL detects."""
        client = self.registration.client
        identity = (
            msal.UserAssignedManagedIdentity(client_id=client) if client else msal.SystemAssignedManagedIdentity()
        )
        with TokenHttpClient(self.registration.ca_file, identity=True) as endpoint:
            client_application = msal.ManagedIdentityClient(identity, http_client=endpoint)
            return _token_of(
                lambda: client_application.acquire_token_for_client(
                    resource=self.registration.scope.removesuffix(_DEFAULT_SCOPE)
                )
            )

    def expiry(self) -> CredentialExpiry | None:
        """Return None: a managed identity has no secret."""
        return None


_NEW_CERTIFICATE = Explanation(
    "The certificate with which Postern requests tokens expires.",
    "At https://entra.microsoft.com open App registrations, the app, Certificates & secrets, Certificates, and upload "
    "a new one beside the old; then replace the file of POSTERN_CLIENT_CERTIFICATE. It is read again automatically.",
)


def _confidential(registration: Registration, credential: Any) -> Token:
    with TokenHttpClient(registration.ca_file) as endpoint:

        def ask() -> Any:
            client = msal.ConfidentialClientApplication(
                registration.client,
                client_credential=credential,
                authority=f"{registration.authority}/{registration.tenant}",
                instance_discovery=False,  # use only the authority in the settings
                azure_region=False,
                http_client=endpoint,
            )
            return client.acquire_token_for_client([registration.scope])

        return _token_of(ask)


def _token_of(ask: Callable[[], Any]) -> Token:
    """Return the token in MSAL's result. Error texts of MSAL are not passed on, because they can quote secrets."""
    try:
        answer = ask()
        token = Token(answer["access_token"], float(answer["expires_in"]))
        usable = _TOKEN.fullmatch(token.value) is not None and math.isfinite(token.lifetime)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        usable = False
    if not usable:
        raise CredentialError("The token endpoint answered without a valid token.")
    if token.lifetime <= 0:
        raise CredentialError("The token endpoint returned an expired token. Is the clock of this machine right?")
    return token
