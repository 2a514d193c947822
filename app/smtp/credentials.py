"""What a mailbox logs in with. The only holder of secrets here; they are never shown, logged or kept elsewhere."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


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


class CredentialUnavailable(Exception):  # noqa: N818 - it names the fact
    """No secret could be had. Its text is one plain sentence for a person, without any secret."""


class Credentials(Protocol):
    """Whoever can say, at the moment of a login, with what to log in."""

    async def secret(self) -> Secret:
        """The secret for one login. Raises CredentialUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Password:
    """A mailbox and its password (AUTH LOGIN)."""

    username: str
    password: str = field(repr=False)

    async def secret(self) -> Secret:
        """Always at hand."""
        return Secret(Mechanism.LOGIN, self.username, self.password)
