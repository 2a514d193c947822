"""Dependencies and limits of the HTTP API: values and callables, built by app/main."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.message.address import Address
from app.mail.office365.limits import MailboxLimits
from app.mail.readiness import DeepCheck, Readiness
from app.mail.webhook.rules import never_sent
from app.store import Store


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of requests. Sizes in bytes, times in seconds."""

    max_body_bytes: int
    max_message_bytes: int  # of the composed message, as the upstream counts it
    max_bytes_in_flight: int  # bodies and large responses of all requests together
    max_recipients: int = 50  # in each of to, cc, bcc and reply_to
    attempts_per_minute: int = 600  # validations, reschedules and refused sends of a key without `messages_per_minute`
    body_seconds: float = 60.0  # for the whole body to arrive
    body_grace_seconds: float = 10.0  # for a body to begin; after that the minimum rate counts
    body_bytes_per_second: int = 4096  # the minimum rate at which a body arrives, on average


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Dependencies of the routes. `route` returns the pool that may send as an address, or None.

    `readiness` and `deep_check` return results that may be some seconds old; `draining` is true once the process is
    stopping.
    """

    store: Store
    clock: Clock
    route: Callable[[Address], str | None]
    default_sender: str | None
    capacities: Mapping[str, MailboxLimits]  # of the mailboxes, by name
    credential_expiries: Mapping[str, Callable[[], CredentialExpiry | None]]  # by mailbox name
    limits: RequestLimits
    readiness: Callable[[], Awaitable[Readiness]]
    deep_check: Callable[[], Awaitable[DeepCheck]]
    draining: Callable[[], bool]
    metrics_text: Callable[[], Awaitable[bytes]] | None  # text of GET /metrics; None: /metrics has its own port
    take_disk: Callable[[int], bool] = lambda _: True  # whether the disk has space for so many more bytes
    allow_private_webhooks: bool = False  # allow webhooks to private addresses and over plain HTTP
    never_sent: frozenset[str] = never_sent(traced=False, reported=False)  # types of webhook events
    strict: bool = False  # emails with unknown members are refused, whatever the API key says
    root_path: str = ""  # path prefix of a gateway, which may remove it or not
