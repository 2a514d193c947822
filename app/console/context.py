"""Dependencies of the console's pages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from app.clock import Clock
from app.console.api import ConsoleApi
from app.mail.credential_expiry import CredentialExpiry
from app.mail.office365.limits import MailboxLimits
from app.mail.readiness import DeepCheck, Readiness
from app.store import Store


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """Values and callables that app/main passes to the pages. Mappings are by mailbox name if not said otherwise."""

    store: Store
    clock: Clock
    password: str = field(repr=False)
    read_password: str | None = field(repr=False)  # of the read-only role; None: there is none
    api: ConsoleApi
    pools: Mapping[str, str]  # name of each mailbox's pool
    message_traces: Mapping[str, str]  # by pool, URL of Message trace in its cloud; "": not known
    capacities: Mapping[str, MailboxLimits]
    credential_expiries: Mapping[str, Callable[[], CredentialExpiry | None]]
    readiness: Callable[[], Awaitable[Readiness]]  # of /readyz
    deep_check: Callable[[], Awaitable[DeepCheck]]  # of /readyz?deep=1
