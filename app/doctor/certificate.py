"""Findings about the upstream server's TLS certificate, or its lack of TLS. Opens no connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from app.doctor.finding import Finding, Step, failed, ok, warn
from app.doctor.target import CheckTarget
from app.mail.outcome.attempt import Failure, FailureKind
from app.mail.outcome.fix_steps import numbered
from app.mail.policy import WITHOUT_REPLY
from app.mail.times import DAY, minute_text
from app.smtp.handshake import TlsInfo

_EXPIRES_SOON = 7 * DAY  # seconds
_WRONG_HOST = "mismatch"  # OpenSSL's word in "Hostname mismatch" and "IP address mismatch"
_OLD_TLS = ("TLSv1", "TLSv1.1")


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Facts of an X.509 certificate. Times are epoch seconds."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: float
    valid_until: float
    self_signed: bool  # issuer and subject are equal

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Parse DER. Raises ValueError."""
        certificate = x509.load_der_x509_certificate(der)
        return cls(
            _owner(certificate.subject),
            _owner(certificate.issuer),
            _names(certificate),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
            self_signed=certificate.subject == certificate.issuer,
        )

    def facts(self) -> Mapping[str, str]:
        """Return the facts of the finding."""
        return {
            "issued to": self.subject,
            "issued by": self.issuer,
            "for": ", ".join(self.names) or "no name",
            "valid until": minute_text(self.valid_until),
        }


def trusted_finding(target: CheckTarget, shown: TlsInfo) -> Finding:
    """Return the finding of a certificate that was verified in the handshake."""
    certificate = ServerCertificate.parse(shown.certificate)
    left = certificate.valid_until - target.clock.now()
    if left < _EXPIRES_SOON:
        return warn(
            Step.CERTIFICATE,
            f"The certificate is trusted, but it expires on {minute_text(certificate.valid_until)}.",
            f"Ask the administrator of {target.upstream.host} to renew it before. After that no mail can be sent.",
            certificate.facts(),
        )
    return ok(
        Step.CERTIFICATE,
        f"The certificate is for {target.upstream.host} and its chain is trusted.",
        certificate.facts(),
    )


def untrusted_finding(target: CheckTarget, failure: Failure, shown: TlsInfo | None) -> Finding:
    """Return the finding of an untrusted certificate. `shown` is from a second connection, None if that failed."""
    policy = WITHOUT_REPLY[FailureKind.CERTIFICATE]
    if shown is None:
        return failed(Step.CERTIFICATE, f"{failure.detail} {policy.summary}", policy.fix)
    certificate = ServerCertificate.parse(shown.certificate)
    why, fix = _cause_and_fix(target, failure, certificate)
    return failed(Step.CERTIFICATE, f"{failure.detail} {why}", fix or policy.fix, certificate.facts())


def no_tls_finding(target: CheckTarget, failure: Failure, shown: TlsInfo | None) -> Finding:
    """Return the finding of a server without STARTTLS, or of a failed handshake."""
    policy = WITHOUT_REPLY[FailureKind.TLS]
    if shown is None or shown.version not in _OLD_TLS:
        return failed(Step.STARTTLS, f"{failure.detail} {policy.summary}", policy.fix)
    summary = f"{failure.detail} The server supports {shown.version} at most, which is insecure: {policy.summary}"
    return failed(Step.STARTTLS, summary, policy.fix, ServerCertificate.parse(shown.certificate).facts())


def _cause_and_fix(target: CheckTarget, failure: Failure, certificate: ServerCertificate) -> tuple[str, str]:
    """Return the cause, and a fix, or "" for the policy's."""
    now, host = target.clock.now(), target.upstream.host
    if now >= certificate.valid_until:
        return f"It expired on {minute_text(certificate.valid_until)}.", _clock_or_renewal(target, now)
    if now < certificate.valid_from:
        return f"It is valid only from {minute_text(certificate.valid_from)}.", _clock_or_renewal(target, now)
    if _WRONG_HOST in failure.detail:
        return (
            f"It is for {', '.join(certificate.names) or 'no name'} and not for {host}.",
            "Set POSTERN_SMTP_HOST to the name of the submission host, not to an address or an alias of your own. If "
            f"the name is right, another server replies: a proxy or a wrong DNS record ({certificate.issuer} issued "
            "the certificate).",
        )
    if certificate.self_signed:
        return f"It is self-signed by {certificate.subject}, so a device between here and {host} replies.", ""
    return (
        f"It was issued by {certificate.issuer}, which this machine does not trust, by a device between here and "
        f"{host}.",
        "",
    )


def _clock_or_renewal(target: CheckTarget, now: float) -> str:
    return numbered(
        f"The clock of this machine says {minute_text(now)}. If that is wrong, set it (NTP).",
        f"If it is right: Microsoft's certificates are always current, so another server answers as "
        f"{target.upstream.host}. Find the proxy between this machine and Office 365, and have its certificate "
        "renewed.",
    )


def _owner(name: x509.Name) -> str:
    """Return `common name (organization)`, or the one of them that exists."""
    common, organization = (
        next((str(attribute.value) for attribute in name.get_attributes_for_oid(oid)), "")
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    )
    if common and organization and common != organization:
        return f"{common} ({organization})"
    return common or organization or name.rfc4514_string() or "unknown"


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(entry.value) for entry in listed if isinstance(entry, x509.DNSName | x509.IPAddress))
