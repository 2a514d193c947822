"""Credentials of a mailbox for SMTP AUTH: their interface, passwords, files with secrets, and exceptions.

Secrets are never shown, logged or stored elsewhere, and are in no text of an exception.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from app.mail.credential_expiry import CredentialExpiry
from app.mail.office365.fixes import OAUTH
from app.mail.outcome.verdict import Explanation, LoginMethod
from app.secret_text import SecretTextError, decode, validate


class CredentialError(Exception):
    """Credential that is not available. The text is one sentence for people.

    `code` is the key of the cause in app/mail/office365/entra.py, or "".
    """

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class TokenRefusedError(CredentialError):
    """Refusal of the token endpoint. `error` is the OAuth error code (RFC 6749 §5.2)."""

    def __init__(self, sentence: str, code: str, error: str) -> None:
        super().__init__(sentence, code)
        self.error = error


class TransientTokenError(CredentialError):
    """Failure of a token request that can succeed later. `retry_after` is the Retry-After header in seconds.

    `do_not_retry`: an immediate retry would cost as much time or memory again, as after a timeout.
    """

    def __init__(
        self, sentence: str, code: str = "", retry_after: float | None = None, *, do_not_retry: bool = False
    ) -> None:
        super().__init__(sentence, code)
        self.retry_after = retry_after
        self.do_not_retry = do_not_retry


class ResponseTooLargeError(Exception):
    """Response of a token endpoint that exceeds the size limit."""


class CertificateError(ValueError):
    """Unusable certificate file. The text is a predicate, such as "holds no private key"."""


class Mechanism(StrEnum):
    """SASL mechanism that Exchange Online offers on port 587."""

    LOGIN = "LOGIN"
    XOAUTH2 = "XOAUTH2"


@dataclass(frozen=True, slots=True)
class LoginSecret:
    """Secret of one login: `value` is the password, or the access token for XOAUTH2."""

    mechanism: Mechanism
    username: str
    value: str = field(repr=False)


class Credentials(Protocol):
    """Source of the secret for a login."""

    @property
    def method(self) -> LoginMethod:
        """Method of the login."""
        ...

    async def secret(self) -> LoginSecret:
        """Return the secret for one login. Raises CredentialError."""
        ...

    def reject(self, secret: LoginSecret) -> bool:
        """Record that the server rejected the secret. Return True if the next `secret` is a different one."""
        ...

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the credential, if it is known."""
        ...


@dataclass(frozen=True, slots=True)
class SecretFile:
    """File with a secret. It is read at every use, so that a new secret takes effect without a restart."""

    path: Path

    def read(self) -> str:
        """Return the secret without BOM and surrounding white space, as at start. Raises CredentialError."""
        try:
            secret = validate(decode(read_secret_file(self.path)))
        except SecretTextError as error:
            raise CredentialError(f"The file {self.path} {error}", "credential-file") from None
        if not secret:
            raise _empty_file_error(self.path)
        return secret


def read_secret_file(path: Path) -> bytes:
    """Return the content of a file. Raises CredentialError if it is unreadable or empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise CredentialError(f"The file {path} cannot be read: {reason}.", "credential-file") from None
    if not content.strip():
        raise _empty_file_error(path)
    return content


def _empty_file_error(path: Path) -> CredentialError:
    return CredentialError(f"The file {path} is empty.", "credential-file")


def secret_value(secret: str | SecretFile) -> str:
    """Return the current secret. Raises CredentialError."""
    return secret.read() if isinstance(secret, SecretFile) else secret


# techcommunity.microsoft.com 4489835 (January 2026), the latest of Microsoft's dates.
BASIC_AUTH_EXPIRY = CredentialExpiry(
    "password",
    1_798_675_200.0,  # 2026-12-31
    Explanation(
        "Microsoft switches off logins with a password (Basic authentication) by default at the end of December 2026. "
        "An administrator can switch them on again for the time being; in the second half of 2027 Microsoft announces "
        "the final date.",
        OAUTH,
    ),
    announced=True,
)


@dataclass(frozen=True, slots=True)
class Password:
    """Mailbox and password (AUTH LOGIN)."""

    username: str
    password: str | SecretFile = field(repr=False)

    @property
    def method(self) -> LoginMethod:
        """Method of the login."""
        return LoginMethod.PASSWORD

    async def secret(self) -> LoginSecret:
        """Return the password. Raises CredentialError for an unreadable file."""
        return LoginSecret(Mechanism.LOGIN, self.username, secret_value(self.password))

    def reject(self, secret: LoginSecret) -> bool:
        """Return False: a password is not tried twice, because Exchange locks the mailbox after failed logins."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """Return the retirement of Basic authentication."""
        return BASIC_AUTH_EXPIRY
