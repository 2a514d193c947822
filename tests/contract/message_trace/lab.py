"""Readers of the trace over a store without a relay: emails are settled, and rows appear, as a test wants."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from app.clock import Clock
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import Attempt
from app.mail.webhook.rules import EventType
from app.message_trace.graph import GraphConnection
from app.message_trace.leased_reader import LeaseConfig, LeasedReader
from app.message_trace.mailbox_client import MailboxClient
from app.message_trace.ndr_reader import NdrReader
from app.message_trace.trace_client import TraceClient
from app.message_trace.trace_reader import TraceConfig, TraceReader
from app.simulator.entra import TENANT
from app.simulator.trace import MessageTrace, TraceRow
from app.smtp import tls
from app.smtp.auth.grants import ClientSecret, Registration
from app.smtp.auth.oauth import TokenSource
from app.store import Store
from app.store.message_trace.records import Scope
from app.store.webhooks.records import Secret, Webhook
from tests.clock import JumpingClock
from tests.contract.message_trace.world import tenant
from tests.contract.store.build import MAILBOX, acceptance, claim, settle
from tests.entra import CLIENT, SECRET
from tests.unit.mail.ndr.reports import Ndr, block

DAY = 86_400.0
LEASE = LeaseConfig(seconds=0.5, renew_interval=2.0)
WEBHOOK = UUID(int=77)
SCOPE = Scope(frozenset({"default"}), complete=frozenset({"default"}), own_domains=frozenset({"contoso.com"}))


@dataclass(slots=True)
class Lab:
    """Store, trace and clock, and the readers that run."""

    store: Store
    trace: MessageTrace
    clock: JumpingClock
    folder: Path
    tokens: TokenSource
    clients: list[TraceClient | MailboxClient] = field(
        default_factory=list
    )  # closed at the end, because a killed reader closes none

    async def relay(self, number: int, attempt: Attempt, *, domain: str = "example.net") -> list[tuple[UUID, str]]:
        """Accept emails and settle their attempts like this; return id and Message-ID of each."""
        now = self.clock.now()
        emails = [
            acceptance(
                f"u{n}@{domain}", created_at=now, due_at=now, expires_at=now + 5 * DAY, on_unknown=OnUnknown.HOLD
            )
            for n in range(number)
        ]
        await self.store.accept(emails)
        settled = 0
        while settled < number:
            claimed = await claim(self.store, 100, now)
            await asyncio.gather(*(settle(self.store, one, attempt, now) for one in claimed))
            settled += len(claimed)
        return [(one.id, one.message.message_id) for one in emails]

    def report(self, message_id: str, recipient: str, status: str = "delivered", **changes: object) -> TraceRow:
        """Add a row of the trace, received now."""
        at = int(self.clock.now())
        facts = {"id": uuid4(), "code": "5.1.1" if status == "failed" else "", "text": "User unknown", **changes}
        row = TraceRow(
            message_id=f"<{message_id}>",
            sender="a@contoso.com",
            recipient=recipient,
            received_at=at,
            status=status,
            **facts,  # type: ignore[arg-type]
        )
        self.trace.add(row)
        return row

    def reader(self, store: Store | None = None, clock: Clock | None = None, scope: Scope | None = None) -> TraceReader:
        """Return a reader of a replica of its own."""
        clock = clock or self.clock
        client = TraceClient(self.trace.url, self.tokens, clock, tls.context(self.folder / "ca.pem"))
        self.clients.append(client)
        config = TraceConfig(TENANT, scope or SCOPE, 24.0)
        return TraceReader((store or self.store).traces, clock, client, config, uuid4(), LEASE)

    def report_reader(self, store: Store | None = None) -> NdrReader:
        """Return a reader of the reports in the sending mailbox, of a replica of its own."""
        graph = GraphConnection(self.trace.url, self.tokens, self.clock, tls.context(self.folder / "ca.pem"), {})
        client = MailboxClient(graph, MAILBOX)
        self.clients.append(client)
        return NdrReader((store or self.store).traces, self.clock, client, SCOPE, uuid4(), LEASE)

    def bounce(self, message_id: str, recipient: str) -> None:
        """Put a non-delivery report into the Inbox of the sending mailbox, of a bounce that suppresses no address."""
        named, blocks = f"<{message_id}>", (block(recipient, status="5.7.1", diagnostic="550 5.7.1 Not authorized"),)
        self.trace.mailboxes.add(MAILBOX, Ndr(blocks, named, named, named).raw())

    async def events(self) -> Counter[tuple[str, str]]:
        """Return how often each type of event was published for each email."""
        found, before = Counter[tuple[str, str]](), None
        while page := await self.store.deliveries(WEBHOOK, before, 100):
            found.update((one.type, json.loads(one.payload)["data"]["email_id"]) for one in page)
            before = page[-1].event_id
        return found


@asynccontextmanager
async def running(reader: LeasedReader) -> AsyncIterator[asyncio.Task[None]]:
    """Run a reader until the end of the block, where it is killed, not stopped."""
    task = asyncio.create_task(reader.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def lab(folder: Path, url: str | None = None) -> AsyncIterator[Lab]:
    """Open a store with a webhook for all events, and the tenant."""
    clock = JumpingClock()
    async with tenant(folder, clock) as (_, trace, settings):
        store = await Store.open(url or f"sqlite:///{folder}/lab.db")
        try:
            secret = Secret("whsec_" + 32 * "A", None)
            await store.create_webhook(
                Webhook(WEBHOOK, "https://example.com/hook", tuple(EventType), clock.now(), (secret,))
            )
            scope = f"{trace.url}/.default"
            registration = Registration(settings().authority, TENANT, CLIENT, scope, folder / "ca.pem")
            here = Lab(store, trace, clock, folder, TokenSource(ClientSecret(registration, SECRET), clock))
            try:
                yield here
            finally:
                for client in here.clients:
                    await client.close()
        finally:
            await store.close()
