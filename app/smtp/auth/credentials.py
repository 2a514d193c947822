"""What a mailbox logs in with. The only holder of secrets here; they are never shown, logged or kept elsewhere."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from app.mail.credential_expiry import CredentialExpiry
from app.mail.office365.fixes import OAUTH
from app.mail.outcome.verdict import Explanation
from app.secret_text import SecretTextError, decode, validate
from app.smtp.auth.failure import CredentialError


class Mechanism(StrEnum):
    """The SASL mechanisms Exchange Online offers on 587."""

    LOGIN = "LOGIN"
    XOAUTH2 = "XOAUTH2"


@dataclass(frozen=True, slots=True)
class Secret:
    """One login: `value` is the password, or the access token for XOAUTH2."""

    mechanism: Mechanism
    username: str
    value: str = field(repr=False)


class Credentials(Protocol):
    """Whoever can say, at the moment of a login, with what to log in."""

    async def secret(self) -> Secret:
        """The secret for one login. Raises CredentialUnavailable."""
        ...

    def reject(self, secret: Secret) -> bool:
        """The server refused that login. True when the next `secret` is another one, worth one more login."""
        ...

    def expiry(self) -> CredentialExpiry | None:
        """What of it ends by its date, if that is known."""
        ...


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file whose text is a secret. It is read at every use, so that a new one counts without a restart."""

    path: Path

    def read(self) -> str:
        """The secret, read as at the start: without what editors put around it. Raises CredentialUnavailable."""
        try:
            secret = validate(decode(read_secret_file(self.path)))
        except SecretTextError as error:
            raise CredentialError(f"The file {self.path} {error}", "credential-file") from None
        if not secret:
            raise _empty(self.path)
        return secret


def read_secret_file(path: Path) -> bytes:
    """What the file holds now; it may not be empty. Raises CredentialUnavailable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise CredentialError(f"The file {path} cannot be read: {reason}.", "credential-file") from None
    if not content.strip():
        raise _empty(path)
    return content


def _empty(path: Path) -> CredentialError:
    return CredentialError(f"The file {path} is empty.", "credential-file")


def secret_value(secret: str | SecretFile) -> str:
    """The secret as it is now. Raises CredentialUnavailable."""
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
    """A mailbox and its password (AUTH LOGIN)."""

    username: str
    password: str | SecretFile = field(repr=False)

    async def secret(self) -> Secret:
        """Always at hand. Raises CredentialUnavailable for a file that is gone."""
        return Secret(Mechanism.LOGIN, self.username, secret_value(self.password))

    def reject(self, secret: Secret) -> bool:
        """A password is never tried twice: repeated failing logins lock the mailbox out."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """The retirement of Basic authentication."""
        return BASIC_AUTH_EXPIRY
