"""Size of an installation, and names of its mailboxes."""

from dataclasses import dataclass
from uuid import UUID

MINUTE = 60.0
A_MINUTE = 30  # messages of a mailbox
KEYS = 5  # API keys of each pool


@dataclass(frozen=True)
class Shape:
    """This many replicas for this many mailboxes, which are spread evenly over this many pools."""

    mailboxes: int
    replicas: int
    pools: int

    @property
    def a_second(self) -> float:
        """Return the messages per second that Exchange accepts from all of them."""
        return self.mailboxes * A_MINUTE / MINUTE

    def mailbox(self, number: int) -> str:
        """Return its name."""
        return f"sender{number}@contoso.com"

    def pool(self, number: int) -> str:
        """Return the pool of a mailbox or message of this number."""
        return f"pool{number % self.pools}"

    def key(self, number: int) -> UUID:
        """Return the API key of the message of this number."""
        pool, of_pool = number % self.pools, number // self.pools % KEYS
        return UUID(int=1 + pool * KEYS + of_pool)
