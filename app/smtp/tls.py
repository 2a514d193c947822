"""The TLS that any secret and any mail needs: 1.2 or newer, chain and host name verified. Nothing turns that off."""

import ssl
from pathlib import Path


def context(ca_file: Path | None) -> ssl.SSLContext:
    """A client context that trusts the system's authorities, or those in `ca_file` (PEM) instead of them.

    Raises OSError or ssl.SSLError if `ca_file` cannot be read.
    """
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def verifies(candidate: ssl.SSLContext) -> bool:
    """True if `candidate` lets no unverified server through."""
    return (
        candidate.verify_mode is ssl.CERT_REQUIRED
        and candidate.check_hostname
        and candidate.minimum_version >= ssl.TLSVersion.TLSv1_2
    )
