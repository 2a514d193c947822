"""The composition root: settings become a store, the mailboxes' relays and the HTTP edge, started and stopped in order.

The only file that knows all the others. Start: lock, door, store, fleet; until the store is there the door says so.
Stop: door, fleet, store, lock.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from socket import gethostname
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs, metrics, tracing
from app.api import ApiContext, create_metrics_app, create_middleware, mount_routes
from app.api import Limits as BodyLimits
from app.api.auth.authenticator import digest
from app.api.http.memory_budget import MemoryBudget
from app.api.problems.transport import transport_responses
from app.background import run_periodically
from app.clock import Clock
from app.console import Console, ConsoleContext, mount_console
from app.doctor import HealthMonitor, Sessions
from app.http_server.server import HttpServer, ServerLimits
from app.mail.credential_expiry import CredentialExpiry
from app.mail.send_estimate import MailboxLimits
from app.mail.webhook.payload import credential_event
from app.mailbox_factory import MailboxFactory, limits
from app.metrics_exporter import MetricsExporter
from app.relay.coordinator import HeartbeatConfig, MailboxCoordinator
from app.retention import Retention, RetentionPeriods
from app.settings import Settings, SettingsError
from app.settings.tracing import traces_wanted
from app.smtp import tls
from app.smtp.auth.expiry_monitor import CHECK_INTERVAL, CredentialExpiryMonitor, ExpiryNotice
from app.store import Store, StoreUnreachableError
from app.store.db.disk_guard import DiskGuard, ReserveTooLargeError
from app.store.db.engine import database_file
from app.store.db.file_lock import DatabaseFileLock
from app.store.keys.setting_key import BY, Outcome
from app.store.records import WorkHint
from app.webhooks.dispatcher import WebhookDispatcher
from app.webhooks.sender import WebhookSender

DATABASE_RETRY_DELAY = 5.0  # seconds until a database server that is not there is tried again


class Postern:
    """One running Postern. `async with Postern(settings) as postern: postern.url`."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None
    ) -> None:
        """`heartbeat` is how a replica stays alive for the others."""
        self.settings = settings
        self.clock = clock or Clock()
        self._heartbeat = heartbeat
        self._draining = False
        self._credential_expiries: dict[str, Callable[[], CredentialExpiry | None]] = {}
        self._stack = AsyncExitStack()
        self._metrics_server: HttpServer | None = None

    async def __aenter__(self) -> Self:
        """Start. Raises StoreError, CannotListen."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop in the reverse order: nothing that was accepted is lost, whatever the bound."""
        self._draining = True
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where callers reach it."""
        return self._server.url

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads what was counted."""
        return f"{(self._metrics_server or self._server).url}/metrics"

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        metrics.declare_alerts(logs.ALERT_EVENTS)
        logs.count_alerts(metrics.alert_logged)
        alone = _lock_database(settings.store_url, stack)
        counted = settings.metrics_port is None
        room = MemoryBudget(_bytes_in_flight(settings), settings.max_body_bytes)
        entrance = create_middleware(lambda: self._draining, room, settings.root_path, counted=counted)
        self._application: ASGIApp = entrance
        door = tracing.wrap_application(entrance if settings.console_password is None else self._dispatch)
        self._server = await _listen(stack, door, settings.host, settings.port, settings.forwarded_allow_ips)
        self.store = await self._open_store(patient=not alone)
        stack.push_async_callback(self.store.close)
        if alone:
            for email, in_doubt in await self.store.recover(self.clock.now(), everything=True):
                logs.reclaimed(email, in_doubt=in_doubt)
        await self._apply_setting_key()
        await self._start_disk_guard(stack)
        self.coordinator = self._coordinator(alone=alone)
        if settings.role != "api":
            await self._start_webhooks(stack, alone=alone)
        await self._start_coordinator(stack)
        keep = RetentionPeriods(settings.keep_content_days, settings.keep_metadata_days, settings.keep_audit_days)
        self.retention = Retention(self.store, self.clock, keep)
        self.retention.start()
        stack.push_async_callback(self.retention.stop)
        edge = self._context()
        mount_routes(entrance, edge, public=settings.role != "relay")
        self._application = self._with_console(entrance, edge)
        stack.push_async_callback(entrance.close)
        stack.push_async_callback(self._server.stop)  # first of all

    async def _start_disk_guard(self, stack: AsyncExitStack) -> None:
        file = database_file(self.settings.store_url)
        try:
            self.disk = DiskGuard(file and file.parent, self.settings.min_free_bytes)
        except ReserveTooLargeError as error:
            raise SettingsError(f"POSTERN_MIN_FREE_BYTES: {error} Give less, or 0 for no reserve.") from None
        self.disk.start()
        stack.push_async_callback(self.disk.stop)

    async def _open_store(self, *, patient: bool) -> Store:
        """`patient`: a database server that is not there may come, and to end would only mean to be started again."""
        while True:
            try:
                return await Store.open(
                    self.settings.store_url, on_due=self._work_due, on_mailbox_free=self._mailbox_free
                )
            except StoreUnreachableError as error:
                if not patient:
                    raise
                logs.store_unreachable(error, seconds=DATABASE_RETRY_DELAY)
            await asyncio.sleep(DATABASE_RETRY_DELAY)

    async def _start_webhooks(self, stack: AsyncExitStack, *, alone: bool) -> None:
        courier = WebhookSender(self.clock, tls.context(None), allow_private=self.settings.webhook_private_addresses)
        webhooks = WebhookDispatcher(self.store, self.clock, courier)
        await webhooks.start(single_node=alone)
        stack.push_async_callback(webhooks.stop, self.settings.drain_seconds)

    async def _publish_expiry(self, news: ExpiryNotice) -> None:
        what = credential_event(self.clock.now(), news.mailbox, news.what, news.at, news.why, step=f"{news.step:g}")
        await self.store.publish_event(what)

    async def _start_coordinator(self, stack: AsyncExitStack) -> None:
        """Only who relays logs in of itself, and looks after what it logs in with."""
        wiring, cases, relays = MailboxFactory(self.clock), [], self.settings.role != "api"
        for pool in self.settings.pools:
            for one in pool.mailboxes:
                login = wiring.credentials(one)
                self._credential_expiries[one.mailbox] = login.expiry
                cases.append(wiring.check_target(pool, one, login, self.settings.max_message_bytes))
                if relays:
                    self.coordinator.add(pool.name, one.mailbox, limits(one), partial(wiring.sessions, one, login))
                    watch = CredentialExpiryMonitor(one.mailbox, login, self.clock, self._publish_expiry)
                    every = CHECK_INTERVAL / self.clock.speed
                    loop = run_periodically("credential expiry", watch.advance, interval=every)
                    stack.callback(asyncio.create_task(loop).cancel)
        file = database_file(self.settings.store_url)
        sessions = Sessions(self.coordinator.logged_in, self.coordinator.reserve_slot)
        self.health_monitor = HealthMonitor(
            self.store, self.clock, cases, sessions, file and file.parent, lambda: self.disk.low
        )
        stack.callback(self.health_monitor.close)
        await self._start_metrics(stack)
        if relays:
            stack.push_async_callback(self.coordinator.stop, self.settings.drain_seconds)
            await self.coordinator.start()

    def _coordinator(self, *, alone: bool) -> MailboxCoordinator:
        return MailboxCoordinator(
            self.store,
            self.clock,
            f"{gethostname()}:{self._server.port}",
            single_node=alone,
            heartbeat=self._heartbeat,
            tenant_recipients_per_day=self.settings.tenant_recipients_per_day,
        )

    async def _start_metrics(self, stack: AsyncExitStack) -> None:
        """Before the relay, so that a port of their own is there to the end of a drain."""
        settings = self.settings
        mailboxes = {one.mailbox: pool.name for pool in settings.pools for one in pool.mailboxes}
        self._metrics_exporter = MetricsExporter(self.store, self.clock, mailboxes, self.coordinator.loads)
        stack.callback(self._metrics_exporter.close)
        if settings.metrics_port is not None:
            door = create_metrics_app(self._metrics_exporter.text)
            self._metrics_server = await _listen(stack, door, settings.host, settings.metrics_port)

    def _work_due(self, hints: frozenset[WorkHint]) -> None:
        if fleet := getattr(self, "coordinator", None):
            fleet.hint(hints)

    def _mailbox_free(self) -> None:
        if fleet := getattr(self, "coordinator", None):
            fleet.hint_free_mailbox()

    async def _apply_setting_key(self) -> None:
        secret = self.settings.api_key
        if secret is None and self.settings.role == "relay":  # which has no API, and need not have its key
            return
        hashed = None if secret is None else digest(secret.get_secret_value())
        applied = await self.store.apply_setting(hashed, self.clock.now())
        for id in applied.revoked:
            logs.key_changed(id, what=Outcome.REVOKED, key=BY.name)
        if applied.key is not None and applied.outcome in (Outcome.CREATED, Outcome.REPLACED):
            logs.key_changed(applied.key, what=applied.outcome, key=BY.name)
        elif applied.key is not None and applied.outcome is Outcome.IGNORED:
            logs.key_ignored(applied.key)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    def _with_console(self, api: ASGIApp, edge: ApiContext) -> ASGIApp:
        if (password := self.settings.console_password) is None or self.settings.role == "relay":
            return api
        desk = ConsoleContext(
            store=self.store,
            clock=self.clock,
            password=password.get_secret_value(),
            pools={one.mailbox: pool.name for pool in self.settings.pools for one in pool.mailboxes},
            capacities=edge.capacities,
            credential_expiries=self._credential_expiries,
            readiness=self.health_monitor.readiness,
            deep_check=self.health_monitor.deep_check,
        )
        return mount_console(Console(desk), api, self.settings.root_path)

    def _context(self) -> ApiContext:
        settings, routes = self.settings, self.settings.routes
        return ApiContext(
            store=self.store,
            clock=self.clock,
            route=routes.route,
            default_sender=routes.default_sender,
            capacities={
                one.mailbox: MailboxLimits(one.messages_per_minute, one.recipients_per_day, one.connections)
                for pool in settings.pools
                for one in pool.mailboxes
            },
            credential_expiries=self._credential_expiries,
            limits=BodyLimits(
                max_body_bytes=settings.max_body_bytes,
                max_message_bytes=settings.max_message_bytes,
                max_bytes_in_flight=_bytes_in_flight(settings),
            ),
            readiness=self.health_monitor.readiness,
            deep_check=self.health_monitor.deep_check,
            draining=lambda: self._draining,
            metrics_text=self._metrics_exporter.text if settings.metrics_port is None else None,
            take_disk=self.disk.take,
            allow_private_webhooks=settings.webhook_private_addresses,
            root_path=settings.root_path,
        )


async def serve(settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with traced(os.environ):
        await _serve(settings, clock, heartbeat, stop)
    logs.stopped()


@contextmanager
def traced(environment: Mapping[str, str]) -> Iterator[None]:
    """With spans made and sent, if OpenTelemetry's variables ask for it. Raises SettingsError."""
    if not traces_wanted(environment):
        yield
        return
    spans = importlib.import_module(
        "app.tracing_otel"
    ).OtelSpanRecorder.exported()  # by name: without the extra it cannot be imported
    tracing.set_recorder(spans)
    try:
        yield
    finally:
        tracing.set_recorder(None)
        spans.close()


async def _serve(
    settings: Settings, clock: Clock | None, heartbeat: HeartbeatConfig | None, stop: asyncio.Event
) -> None:
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(Postern(settings, clock, heartbeat)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _log_started(await starting)
            await stopping
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _bytes_in_flight(settings: Settings) -> int:
    return max(settings.max_bytes_in_flight, settings.max_body_bytes)


async def _listen(
    stack: AsyncExitStack, application: ASGIApp, host: str, port: int, forwarders: Sequence[str] = ()
) -> HttpServer:
    listener = HttpServer(
        application, host, port, limits=ServerLimits(responses=transport_responses()), forwarders=forwarders
    )
    await listener.start()
    stack.push_async_callback(listener.stop)
    return listener


def _log_started(postern: Postern) -> None:
    settings = postern.settings
    every = [one for pool in settings.pools for one in pool.mailboxes]
    upstreams = sorted({f"{one.smtp_host}:{one.smtp_port}" for one in every})
    logs.started(
        url=postern.url,
        role=settings.role,
        mailboxes=len(every),
        mailbox=every[0].mailbox,
        upstream=", ".join(upstreams),
    )


def configure_logs(settings: Settings) -> None:
    """As the settings say; `auto` is for people when standard error is a terminal."""
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    own = frozenset(one.mailbox for pool in settings.pools for one in pool.mailboxes)
    logs.configure(human=human, level=settings.log_level, shown=own if settings.log_addresses == "masked" else None)


def _lock_database(url: str, stack: AsyncExitStack) -> bool:
    """True if this process now owns an embedded database: whatever was under way there is nobody's any more."""
    file = database_file(url)
    if file is None:
        return False
    lock = DatabaseFileLock(file)
    lock.acquire()
    stack.callback(lock.release)
    return True
