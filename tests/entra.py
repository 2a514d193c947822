"""Simulated Entra ID for tests, with an app that has every kind of credential."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from app.simulator import Simulator
from app.simulator.entra import SCOPE, TENANT, App, Entra, Federation
from app.smtp.auth.grants import Registration

CLIENT = "11c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c01"
SECRET = "made-up~client.secret_for-tests"
ISSUER = "https://oidc.cluster.example/"
SUBJECT = "system:serviceaccount:mail:postern"
_YEAR = timedelta(days=365)


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Return the RSA key of a name, generated once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str = "app", *, ends: timedelta = _YEAR) -> x509.Certificate:
    """Return a self-signed certificate of `key(name)` that expires after `ends`."""
    now = datetime.now(UTC)
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"postern {name}")])
    made = x509.CertificateBuilder().subject_name(common).issuer_name(common).public_key(key(name).public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - _YEAR).not_valid_after(now + ends)
    return made.sign(key(name), hashes.SHA256())


def pem(one: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return one.public_bytes(Encoding.PEM).decode()


def key_pem(name: str = "app", password: str | None = None) -> str:
    """Return the private key in PEM, encrypted if there is a password."""
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _lock(password)).decode()


def pfx(one: x509.Certificate, name: str = "app", password: str | None = None) -> bytes:
    """Return the certificate and its private key in PKCS #12."""
    return pkcs12.serialize_key_and_certificates(b"postern", key(name), one, None, _lock(password))


def _lock(password: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


def federated(*, name: str = "cluster", **changes: Any) -> str:
    """Return a token of another issuer for the app, as Kubernetes writes it to a file."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "iat": now, "exp": now + 3600}
    return jwt.encode({**claims, **changes}, key(name), algorithm="RS256")


def app(**changes: Any) -> App:
    """Return an app with a secret, a certificate and a federated credential."""
    public = key("cluster").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    facts: dict[str, Any] = {
        "secrets": (SECRET,),
        "certificates": (pem(certificate()),),
        "federations": (Federation(ISSUER, SUBJECT, public),),
    }
    return App(CLIENT, **{**facts, **changes})


@dataclass(frozen=True, slots=True)
class RunningEntra:
    """Running Entra ID, and the file of the CA certificate."""

    entra: Entra
    ca_file: Path

    def registration(self, **changes: Any) -> Registration:
        """Return the registration of the app, with changes."""
        facts: dict[str, Any] = {
            "authority": self.entra.authority,
            "tenant": TENANT,
            "client": CLIENT,
            "scope": SCOPE,
            "ca_file": self.ca_file,
        }
        return Registration(**{**facts, **changes})

    @property
    def outcomes(self) -> list[str]:
        """Outcome of each token request."""
        return [request.outcome for request in self.entra.requests]


@asynccontextmanager
async def running_entra(simulator: Simulator, folder: Path, **options: Any) -> AsyncIterator[RunningEntra]:
    """Start Entra ID beside a simulator, and write the CA certificate to `folder`."""
    ca_file = folder / "ca.pem"
    simulator.write_ca(ca_file)
    async with Entra(simulator, [app()], **options) as entra:
        yield RunningEntra(entra, ca_file)
