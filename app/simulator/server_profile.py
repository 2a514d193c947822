"""What the TLS door looks like, and the certificates behind it. Knows no SMTP."""

import datetime
import ssl
import warnings
from dataclasses import dataclass
from enum import StrEnum

import trustme

NAMES = ("localhost", "127.0.0.1", "::1", "smtp.office365.com")
_YESTERDAY = datetime.timedelta(days=1)


class Certificate(StrEnum):
    """What the server shows in the handshake."""

    GOOD = "good"
    WRONG_HOST = "wrong_host"
    FOREIGN = "foreign"  # of a CA that the client does not know
    EXPIRED = "expired"
    SELF_SIGNED = "self_signed"


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """The server's face before anybody has logged in. `inject` is sent in clear, in the segment of STARTTLS's 220."""

    starttls: bool = True
    certificate: str = Certificate.GOOD
    tls_minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    tls_maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    inject: bytes = b""
    pipelining: bool = True
    smtputf8: bool = True
    mechanisms: tuple[str, ...] = ("LOGIN", "XOAUTH2")
    greeting: str | None = None  # the whole reply, code included
    names: tuple[str, ...] = ()  # hosts and addresses the certificate is for, beside NAMES


class Certificates:
    """One certificate authority and the TLS contexts of the doors made with it."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._contexts: dict[ServerProfile, ssl.SSLContext] = {}

    @property
    def ca_pem(self) -> str:
        """The authority's certificate: who trusts it verifies a good door."""
        return self._ca.cert_pem.bytes().decode("ascii")

    def context(self, door: ServerProfile) -> ssl.SSLContext:
        """The server's context for this door, made once."""
        if door not in self._contexts:
            self._contexts[door] = self._make(door)
        return self._contexts[door]

    def _make(self, door: ServerProfile) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certify(context, Certificate(door.certificate), (*NAMES, *door.names))
        if door.tls_minimum < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL 3 does not offer what is older
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # offering TLS 1.1 is what such a door is for
            context.minimum_version = door.tls_minimum
            context.maximum_version = door.tls_maximum
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
