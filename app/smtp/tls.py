"""The TLS that any secret and any mail needs: 1.2 or newer, chain and host name verified. Nothing turns that off."""

import ssl
from pathlib import Path


def context(ca_file: Path | None) -> ssl.SSLContext:
    """A client context that trusts the system's authorities, or those in `ca_file` (PEM) instead of them.

    Raises OSError or ssl.SSLError if `ca_file` cannot be read.
    """
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.hostname_checks_common_name = False  # the name must be in subjectAltName (RFC 9525 §2)
    return made


def unverified_context() -> ssl.SSLContext:
    """A context that believes everybody and takes TLS 1.0, to see who answers. No Upstream takes it (`verifies`)."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL 3 does not offer what is older than TLS 1.2
    made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return made


def is_verifying(candidate: ssl.SSLContext) -> bool:
    """True if `candidate` lets no unverified server through."""
    return (
        candidate.verify_mode is ssl.CERT_REQUIRED
        and candidate.check_hostname
        and not candidate.hostname_checks_common_name
        and candidate.minimum_version >= ssl.TLSVersion.TLSv1_2
    )
