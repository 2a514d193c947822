"""What the console is given: values and callables, built by app/main.py. Holds nothing of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.readiness import DeepCheck, Readiness
from app.mail.send_estimate import Capacity
from app.store import Store


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """Everything the pages need. `ready` and `examine` are those of /readyz; `pools` has each mailbox's pool."""

    store: Store
    clock: Clock
    password: str = field(repr=False)
    pools: Mapping[str, str]
    capacities: Mapping[str, Capacity]  # of the mailboxes, by name
    credential_expiries: Mapping[
        str, Callable[[], CredentialExpiry | None]
    ]  # of what each mailbox logs in with, by name
    readiness: Callable[[], Awaitable[Readiness]]
    deep_check: Callable[[], Awaitable[DeepCheck]]
