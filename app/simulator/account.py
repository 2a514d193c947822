"""The mailboxes that may log in, and what each may send as. Knows no SMTP."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hmac import compare_digest


@dataclass(frozen=True, slots=True)
class Account:
    """One mailbox. `send_as` are patterns such as `*@contoso.com`; it may always send as itself and its aliases.

    A bearer token is good if it equals `token` or if `validate_token(token)` says so.
    """

    address: str
    password: str | None = field(default=None, repr=False)
    send_as: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    validate_token: Callable[[str], bool] | None = field(default=None, repr=False)

    def accepts_password(self, password: str) -> bool:
        """True if that is its password."""
        return self.password is not None and compare_digest(self.password.encode(), password.encode())

    def accepts_token(self, token: str) -> bool:
        """True if this access token opens it."""
        if self.token is not None and compare_digest(self.token.encode(), token.encode()):
            return True
        return self.validate_token is not None and self.validate_token(token)

    def may_send_as(self, address: str) -> bool:
        """True for its own address, its aliases, and whatever it has Send As on."""
        wanted = address.lower()
        if wanted == self.address.lower():
            return True
        return any(fnmatchcase(wanted, pattern.lower()) for pattern in (*self.aliases, *self.send_as))


class Accounts:
    """The accounts of the simulated tenant, by address without regard to case."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_address: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def add(self, account: Account) -> None:
        """Add it, or put it in the place of the one with the same address."""
        self._by_address[account.address.lower()] = account

    def get(self, address: str) -> Account | None:
        """The account of that address."""
        return self._by_address.get(address.lower())

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._by_address.values()))
