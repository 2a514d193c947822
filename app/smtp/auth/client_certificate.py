"""Client certificate of the app registration with its private key, parsed from PEM or PFX (PKCS #12)."""

import re
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from app.smtp.auth.credentials import CertificateError

_PEM = b"-----BEGIN "
_BEGIN = re.compile(rb"-----BEGIN ([A-Z ]{0,40}PRIVATE KEY)-----")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Certificate and private key in PEM, the key without a password. `expires_at` is in epoch seconds."""

    private_key: str = field(repr=False)
    certificate: str
    expires_at: float

    @classmethod
    def load(cls, content: bytes, password: str | None) -> Self:
        """Parse the content of a file. Raises CertificateError."""
        try:
            key, candidates = (_from_pem if _PEM in content else _from_pfx)(content, _encoded(password))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _certificate_error(error, given=password is not None) from None
        if not isinstance(key, RSAPrivateKey):
            raise CertificateError("holds a key that is not RSA, which Microsoft Entra does not accept")
        for candidate in candidates:
            if candidate.public_key() == key.public_key():
                return cls(
                    key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                    candidate.public_bytes(Encoding.PEM).decode(),
                    candidate.not_valid_after_utc.timestamp(),
                )
        raise CertificateError("holds no certificate for its private key")


def _from_pem(content: bytes, password: bytes | None) -> tuple[object, list[x509.Certificate]]:
    begin = _BEGIN.search(content)
    end = content.find(b"-----END %s-----" % begin[1], begin.end()) if begin else -1
    if begin is None or end < 0:
        raise CertificateError("holds no private key")
    block = content[begin.start() : content.index(b"-----", end + 5) + 5]
    key = load_pem_private_key(block, password if b"ENCRYPTED" in block else None)
    return key, x509.load_pem_x509_certificates(content) if b"BEGIN CERTIFICATE" in content else []


def _from_pfx(content: bytes, password: bytes | None) -> tuple[object, list[x509.Certificate]]:
    key, certificate, others = pkcs12.load_key_and_certificates(content, password)
    if key is None:
        raise CertificateError("holds no private key")
    return key, [*([certificate] if certificate else []), *others]


def _encoded(password: str | None) -> bytes | None:
    return None if password is None else password.encode()


def _certificate_error(error: Exception, *, given: bool) -> CertificateError:
    if isinstance(error, CertificateError):
        return error
    if "password" in str(error).lower() or "decrypt" in str(error).lower():
        return CertificateError("does not open with that password" if given else "needs a password")
    return CertificateError("is neither PEM nor PFX with a certificate and its private key")
