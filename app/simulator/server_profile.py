"""Profile of the simulated server (EHLO extensions, TLS versions, kind of certificate), and its certificates."""

import datetime
import ssl
import warnings
from dataclasses import dataclass
from enum import StrEnum

import trustme

NAMES = ("localhost", "127.0.0.1", "::1", "smtp.office365.com")
_YESTERDAY = datetime.timedelta(days=1)


class Certificate(StrEnum):
    """Kind of certificate that the server presents."""

    GOOD = "good"
    WRONG_HOST = "wrong_host"
    FOREIGN = "foreign"  # from an unknown CA
    EXPIRED = "expired"
    SELF_SIGNED = "self_signed"


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """Behavior of the server before a login. `inject` is sent in plain text, in the segment of the 220 to STARTTLS."""

    starttls: bool = True
    certificate: str = Certificate.GOOD
    tls_minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    tls_maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    inject: bytes = b""
    pipelining: bool = True
    smtputf8: bool = True
    mechanisms: tuple[str, ...] = ("LOGIN", "XOAUTH2")
    greeting: str | None = None  # complete reply with its code
    names: tuple[str, ...] = ()  # of the certificate, in addition to NAMES


class Certificates:
    """Certificate authority and the TLS contexts of the profiles."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._contexts: dict[ServerProfile, ssl.SSLContext] = {}

    @property
    def ca_pem(self) -> str:
        """CA certificate in PEM."""
        return self._ca.cert_pem.bytes().decode("ascii")

    def context(self, profile: ServerProfile) -> ssl.SSLContext:
        """Return the cached server context of a profile."""
        if profile not in self._contexts:
            self._contexts[profile] = self._make(profile)
        return self._contexts[profile]

    def _make(self, profile: ServerProfile) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certify(context, Certificate(profile.certificate), (*NAMES, *profile.names))
        if profile.tls_minimum < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 needs it for older versions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is intended here
            context.minimum_version = profile.tls_minimum
            context.maximum_version = profile.tls_maximum
        return context

    def _certify(self, context: ssl.SSLContext, certificate: Certificate, names: tuple[str, ...]) -> None:
        match certificate:
            case Certificate.GOOD:
                self._ca.issue_cert(*names).configure_cert(context)
            case Certificate.WRONG_HOST:
                self._ca.issue_cert("elsewhere.example").configure_cert(context)
            case Certificate.FOREIGN:
                trustme.CA().issue_cert(*names).configure_cert(context)
            case Certificate.EXPIRED:
                yesterday = datetime.datetime.now(datetime.UTC) - _YESTERDAY
                self._ca.issue_cert(*names, not_after=yesterday).configure_cert(context)
            case Certificate.SELF_SIGNED:
                own = trustme.CA()
                with own.cert_pem.tempfile() as certificate_path, own.private_key_pem.tempfile() as key_path:
                    context.load_cert_chain(certificate_path, key_path)
