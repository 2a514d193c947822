"""Mailboxes of the simulated tenant: credentials and Send As permissions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hmac import compare_digest


@dataclass(frozen=True, slots=True)
class Account:
    """Mailbox. `send_as` are patterns such as `*@contoso.com`; its own address and aliases are always allowed.

    A bearer token is valid if it equals `token` or `validate_token(token)` returns True.
    """

    address: str
    password: str | None = field(default=None, repr=False)
    send_as: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    validate_token: Callable[[str], bool] | None = field(default=None, repr=False)

    def accepts_password(self, password: str) -> bool:
        """Return True if the password is right."""
        return self.password is not None and compare_digest(self.password.encode(), password.encode())

    def accepts_token(self, token: str) -> bool:
        """Return True if the access token is valid."""
        if self.token is not None and compare_digest(self.token.encode(), token.encode()):
            return True
        return self.validate_token is not None and self.validate_token(token)

    def may_send_as(self, address: str) -> bool:
        """Return True for its own address, its aliases and addresses with the Send As permission."""
        wanted = address.lower()
        if wanted == self.address.lower():
            return True
        return any(fnmatchcase(wanted, pattern.lower()) for pattern in (*self.aliases, *self.send_as))


class Accounts:
    """Accounts of the simulated tenant by address, case-insensitive."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_address: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def add(self, account: Account) -> None:
        """Add an account; it replaces the one with the same address."""
        self._by_address[account.address.lower()] = account

    def get(self, address: str) -> Account | None:
        """Return the account of an address."""
        return self._by_address.get(address.lower())

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._by_address.values()))
