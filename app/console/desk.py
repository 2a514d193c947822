"""What the console is given: values and callables, built by app/main.py. Holds nothing of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from app.clock import Clock
from app.mail.ending import Ending
from app.mail.forecast import Capacity
from app.mail.readiness import Examined, Readiness
from app.store import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything the pages need. `ready` and `examine` are those of /readyz; `pools` has each mailbox's pool."""

    store: Store
    clock: Clock
    password: str = field(repr=False)
    pools: Mapping[str, str]
    capacities: Mapping[str, Capacity]  # of the mailboxes, by name
    endings: Mapping[str, Callable[[], Ending | None]]  # of what each mailbox logs in with, by name
    ready: Callable[[], Awaitable[Readiness]]
    examine: Callable[[], Awaitable[Examined]]
