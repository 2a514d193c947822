"""What the HTTP edge is given: values and callables, built by app/main.py. Holds nothing of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.message.address import Address
from app.mail.readiness import DeepCheck, Readiness
from app.mail.send_estimate import MailboxLimits
from app.store import Store


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for. Sizes in octets, times in seconds."""

    max_body_bytes: int
    max_message_bytes: int  # of the composed message, as the upstream counts it
    max_bytes_in_flight: int  # of the bodies of all requests at one moment
    max_recipients: int = 50  # in each of to, cc, bcc and reply_to
    attempts_per_minute: int = 600  # validations and refused sends of a key without a budget of messages
    body_seconds: float = 60.0  # for the whole body to arrive
    body_grace_seconds: float = 10.0  # for a body to begin; after that the minimum rate counts
    body_bytes_per_second: int = 4096  # the minimum rate at which a body arrives, on average


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything the routes need. `route` names the pool that may send as an address, None when there is none.

    `ready` says how the process stands, `examine` what the doctor finds at every mailbox, both as of a while ago at
    most; `draining` is true once a stop began.
    """

    store: Store
    clock: Clock
    route: Callable[[Address], str | None]
    default_sender: str | None
    capacities: Mapping[str, MailboxLimits]  # of the mailboxes, by name
    credential_expiries: Mapping[
        str, Callable[[], CredentialExpiry | None]
    ]  # of what each mailbox logs in with, by name
    limits: Limits
    readiness: Callable[[], Awaitable[Readiness]]
    deep_check: Callable[[], Awaitable[DeepCheck]]
    draining: Callable[[], bool]
    metrics_text: Callable[[], Awaitable[bytes]] | None  # the text of GET /metrics; None: it has a port of its own
    take_disk: Callable[[int], bool] = lambda _: True  # whether a message of so many bytes may be stored
    allow_private_webhooks: bool = False  # webhooks may lead to addresses that are not public, and by plain http
    root_path: str = ""  # what a gateway has before our paths; it may take it off or leave it
