"""The four ways for an app to ask for an access token, by MSAL. Each call asks anew: nothing is cached here.

Every file is read at every use, so that a new secret, certificate or federated token counts without a restart. All of
it is synchronous and belongs into a thread. The only importer of msal.
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
from app.smtp.auth.credentials import SecretFile, read_secret_file, secret_value
from app.smtp.auth.failure import CertificateError, CredentialError, TokenRefusedError, TransientTokenError
from app.smtp.auth.token_http import TokenHttpClient

_ANY = "/.default"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1
_INVALID_CLIENT = "invalid_client"


@dataclass(frozen=True, slots=True)
class Registration:
    """For what a token is asked, and where. `authority` has no path; `client` is "" for the machine's own identity."""

    authority: str
    tenant: str
    client: str
    scope: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it lives from now, in seconds."""

    value: str = field(repr=False)
    lifetime: float


class Grant(Protocol):
    """One way to ask for a token."""

    @property
    def registration(self) -> Registration:
        """For what it asks, and where."""
        ...

    def fetch(self) -> Token:
        """Ask for one. Blocks. Raises CredentialUnavailable: Passing if asking again may help."""
        ...

    def expiry(self) -> CredentialExpiry | None:
        """What of it ends by its date, if that is known."""
        ...


class ClientSecret:
    """A client secret, and a second one for the days of a rotation: the one that worked last is asked with first."""

    def __init__(self, registration: Registration, secret: str | SecretFile, *more: str | SecretFile) -> None:
        self.registration = registration
        self._secrets = [secret, *more]

    def fetch(self) -> Token:
        """With each secret until one is not refused; the first refusal is the one that is told."""
        refusals: list[CredentialError] = []
        for secret in tuple(self._secrets):
            try:
                token = _confidential(self.registration, secret_value(secret))
            except TransientTokenError:
                raise
            except CredentialError as refusal:
                refusals.append(refusal.with_traceback(None))  # its frames hold the secret
                if isinstance(refusal, TokenRefusedError) and refusal.error != _INVALID_CLIENT:
                    break  # it is not the secret's fault
            else:
                self._prefer(secret)
                return token
        raise refusals[0]

    def expiry(self) -> CredentialExpiry | None:
        """Only Microsoft Entra knows."""
        return None

    def _prefer(self, secret: str | SecretFile) -> None:
        if secret is self._secrets[0]:
            return
        self._secrets.sort(key=lambda one: one is not secret)
        logs.credential_rotated(self.registration.client)


@dataclass(frozen=True, slots=True)
class CertificateGrant:
    """An assertion signed with the app's certificate (PS256, x5t#S256)."""

    registration: Registration
    path: Path
    password: str | SecretFile | None = field(default=None, repr=False)

    def fetch(self) -> Token:
        """With whatever the file holds now."""
        certificate = self._certificate()
        credential = {"private_key": certificate.private_key, "public_certificate": certificate.certificate}
        return _confidential(self.registration, credential)

    def expiry(self) -> CredentialExpiry | None:
        """The certificate's last day; None while it cannot be read."""
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
    """Workload identity federation: another issuer's token, which something else keeps fresh in a file."""

    registration: Registration
    path: Path

    def fetch(self) -> Token:
        """With the token that the file holds now."""
        assertion = SecretFile(self.path).read().strip()
        return _confidential(self.registration, {"client_assertion": lambda: assertion})

    def expiry(self) -> CredentialExpiry | None:
        """It is renewed by whoever writes the file."""
        return None


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """The identity of the machine or of the app on Azure; a user-assigned one if the registration names a client."""

    registration: Registration

    def fetch(self) -> Token:
        """From the endpoint that this kind of machine has; MSAL knows them."""
        client = self.registration.client
        identity = (
            msal.UserAssignedManagedIdentity(client_id=client) if client else msal.SystemAssignedManagedIdentity()
        )
        with TokenHttpClient(self.registration.ca_file, identity=True) as endpoint:
            asked = msal.ManagedIdentityClient(identity, http_client=endpoint)
            return _taken(lambda: asked.acquire_token_for_client(resource=self.registration.scope.removesuffix(_ANY)))

    def expiry(self) -> CredentialExpiry | None:
        """It has no secret that could end."""
        return None


_NEW_CERTIFICATE = Explanation(
    "The certificate with which Postern asks for tokens ends.",
    "At https://entra.microsoft.com open App registrations, the app, Certificates & secrets, Certificates, and upload "
    "a new one beside the old; then replace the file of POSTERN_CLIENT_CERTIFICATE. It is read again by itself.",
)


def _confidential(registration: Registration, credential: Any) -> Token:
    with TokenHttpClient(registration.ca_file) as endpoint:

        def ask() -> Any:
            client = msal.ConfidentialClientApplication(
                registration.client,
                client_credential=credential,
                authority=f"{registration.authority}/{registration.tenant}",
                instance_discovery=False,  # nobody but the authority of the settings is asked
                azure_region=False,
                http_client=endpoint,
            )
            return client.acquire_token_for_client([registration.scope])

        return _taken(ask)


def _taken(ask: Callable[[], Any]) -> Token:
    """The token in MSAL's answer. What it says of one it cannot use is not passed on: it could quote anything."""
    try:
        answer = ask()
        token = Token(answer["access_token"], float(answer["expires_in"]))
        usable = _TOKEN.fullmatch(token.value) is not None and math.isfinite(token.lifetime)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        usable = False
    if not usable:
        raise CredentialError("The token endpoint answered with something that is no token.")
    if token.lifetime <= 0:
        raise CredentialError("The token endpoint gave a token that has ended: is this machine's clock right?")
    return token
