"""How large an installation is, and how its mailboxes are called. Numbers only."""

from dataclasses import dataclass
from uuid import UUID

MINUTE = 60.0
A_MINUTE = 30  # messages of a mailbox
KEYS = 5  # that each pool's mail comes from


@dataclass(frozen=True)
class Shape:
    """So many replicas for so many mailboxes, which stand evenly in so many pools."""

    mailboxes: int
    replicas: int
    pools: int

    @property
    def a_second(self) -> float:
        """Messages that Exchange takes from all of them together."""
        return self.mailboxes * A_MINUTE / MINUTE

    def mailbox(self, number: int) -> str:
        """Its name."""
        return f"sender{number}@contoso.com"

    def pool(self, number: int) -> str:
        """The pool of a mailbox, or of a message, of this number."""
        return f"pool{number % self.pools}"

    def key(self, number: int) -> UUID:
        """The API key that the message of this number comes with."""
        pool, of_pool = number % self.pools, number // self.pools % KEYS
        return UUID(int=1 + pool * KEYS + of_pool)
