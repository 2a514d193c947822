"""A pretend Entra for tests, with an app that may prove itself in every way."""

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
    """An RSA key for tests, made once for each name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str = "app", *, ends: timedelta = _YEAR) -> x509.Certificate:
    """A self-signed certificate over `key(name)` that ends after so long."""
    now = datetime.now(UTC)
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"postern {name}")])
    made = x509.CertificateBuilder().subject_name(common).issuer_name(common).public_key(key(name).public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - _YEAR).not_valid_after(now + ends)
    return made.sign(key(name), hashes.SHA256())


def pem(one: x509.Certificate) -> str:
    """What is uploaded to Entra."""
    return one.public_bytes(Encoding.PEM).decode()


def key_pem(name: str = "app", password: str | None = None) -> str:
    """The private half."""
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _lock(password)).decode()


def pfx(one: x509.Certificate, name: str = "app", password: str | None = None) -> bytes:
    """Both halves in PKCS #12."""
    return pkcs12.serialize_key_and_certificates(b"postern", key(name), one, None, _lock(password))


def _lock(password: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


def federated(*, name: str = "cluster", **changes: Any) -> str:
    """Another issuer's token for the app, as Kubernetes projects it into a file."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "iat": now, "exp": now + 3600}
    return jwt.encode({**claims, **changes}, key(name), algorithm="RS256")


def app(**changes: Any) -> App:
    """The app with a secret, a certificate and a federation."""
    public = key("cluster").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    facts: dict[str, Any] = {
        "secrets": (SECRET,),
        "certificates": (pem(certificate()),),
        "federations": (Federation(ISSUER, SUBJECT, public),),
    }
    return App(CLIENT, **{**facts, **changes})


@dataclass(frozen=True, slots=True)
class RunningEntra:
    """A running Entra, and how to ask there."""

    entra: Entra
    ca_file: Path

    def registration(self, **changes: Any) -> Registration:
        """The app's, with changes."""
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
        """How each request ended."""
        return [asked.outcome for asked in self.entra.requests]


@asynccontextmanager
async def running_entra(simulator: Simulator, folder: Path, **options: Any) -> AsyncIterator[RunningEntra]:
    """Start Entra beside a simulator; `folder` gets the CA's certificate."""
    ca_file = folder / "ca.pem"
    simulator.write_ca(ca_file)
    async with Entra(simulator, [app()], **options) as entra:
        yield RunningEntra(entra, ca_file)
