"""TLS contexts for SMTP and token requests: TLS 1.2 or newer, chain and host name verified.

`unverified_context` is the exception, for diagnosis only.
"""

import ssl
from pathlib import Path


def context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a client context that trusts the CAs of the system, or those in `ca_file` (PEM) instead.

    Raises OSError or ssl.SSLError if `ca_file` cannot be read.
    """
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.hostname_checks_common_name = False  # the name must be in subjectAltName (RFC 9525 §2)
    return made


def unverified_context() -> ssl.SSLContext:
    """Return a context without verification, from TLS 1.0 on. For diagnosis only: Upstream refuses it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 needs it for versions before TLS 1.2
    made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return made


def is_verifying(candidate: ssl.SSLContext) -> bool:
    """Return True if `candidate` verifies the chain and the host name and requires TLS 1.2."""
    return (
        candidate.verify_mode is ssl.CERT_REQUIRED
        and candidate.check_hostname
        and not candidate.hostname_checks_common_name
        and candidate.minimum_version >= ssl.TLSVersion.TLSv1_2
    )
