"""Composition root: builds the store, the mailboxes and the HTTP server from the settings; starts and stops them.

Start order: database lock, HTTP server (503 until the store is open), store, disk guard, webhooks, health monitor,
metrics, mailboxes, retention, routes. Stop order: HTTP server first, then the reverse.
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
from app.doctor.health_monitor import HealthMonitor, RelaySessions
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

DATABASE_RETRY_DELAY = 5.0  # seconds between attempts to connect to an unreachable database server


class Postern:
    """One running Postern. `async with Postern(settings) as postern: postern.url`."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None
    ) -> None:
        """`heartbeat`: interval and lease of this replica; by default those of the coordinator."""
        self.settings = settings
        self.clock = clock or Clock()
        self._heartbeat = heartbeat
        self._draining = False
        self._credential_expiries: dict[str, Callable[[], CredentialExpiry | None]] = {}
        self._stack = AsyncExitStack()
        self._metrics_server: HttpServer | None = None
        self._running_coordinator: MailboxCoordinator | None = None  # the store gives hints before there is one

    async def __aenter__(self) -> Self:
        """Start. Raises StoreError, ListenError, SettingsError."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop in reverse order. No accepted email is lost, even if the drain time is too short."""
        self._draining = True
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return self._server.url

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus endpoint."""
        return f"{(self._metrics_server or self._server).url}/metrics"

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        metrics.declare_alerts(logs.ALERT_EVENTS)
        logs.count_alerts(metrics.alert_logged)
        single_node = _lock_database(settings.store_url, stack)
        counted = settings.metrics_port is None
        memory = MemoryBudget(_bytes_in_flight(settings), settings.max_body_bytes)
        middleware = create_middleware(lambda: self._draining, memory, settings.root_path, counted=counted)
        self._application: ASGIApp = middleware
        application = tracing.wrap_application(middleware if settings.console_password is None else self._dispatch)
        self._server = await _listen(stack, application, settings.host, settings.port, settings.forwarded_allow_ips)
        self.store = await self._open_store(wait_for_server=not single_node)
        stack.push_async_callback(self.store.close)
        if single_node:
            for email, in_doubt in await self.store.recover(self.clock.now(), everything=True):
                logs.reclaimed(email, in_doubt=in_doubt)
        await self._apply_setting_key()
        await self._start_disk_guard(stack)
        self.coordinator = self._running_coordinator = self._coordinator(single_node=single_node)
        if settings.role != "api":
            await self._start_webhooks(stack, single_node=single_node)
        await self._start_coordinator(stack)
        keep = RetentionPeriods(settings.keep_content_days, settings.keep_metadata_days, settings.keep_audit_days)
        self.retention = Retention(self.store, self.clock, keep)
        self.retention.start()
        stack.push_async_callback(self.retention.stop)
        context = self._context()
        mount_routes(middleware, context, public=settings.role != "relay")
        self._application = self._with_console(middleware, context)
        stack.push_async_callback(middleware.close)
        stack.push_async_callback(self._server.stop)  # the first step of a stop

    async def _start_disk_guard(self, stack: AsyncExitStack) -> None:
        file = database_file(self.settings.store_url)
        try:
            self.disk = DiskGuard(file and file.parent, self.settings.min_free_bytes)
        except ReserveTooLargeError as error:
            raise SettingsError(f"POSTERN_MIN_FREE_BYTES: {error} Give less, or 0 for no reserve.") from None
        self.disk.start()
        stack.push_async_callback(self.disk.stop)

    async def _open_store(self, *, wait_for_server: bool) -> Store:
        """Open the store. With `wait_for_server`, retry until an unreachable database server answers."""
        while True:
            try:
                return await Store.open(
                    self.settings.store_url, on_due=self._work_due, on_mailbox_free=self._mailbox_free
                )
            except StoreUnreachableError as error:
                if not wait_for_server:
                    raise
                logs.store_unreachable(error, seconds=DATABASE_RETRY_DELAY)
            await asyncio.sleep(DATABASE_RETRY_DELAY)

    async def _start_webhooks(self, stack: AsyncExitStack, *, single_node: bool) -> None:
        sender = WebhookSender(self.clock, tls.context(None), allow_private=self.settings.webhook_private_addresses)
        webhooks = WebhookDispatcher(self.store, self.clock, sender)
        await webhooks.start(single_node=single_node)
        stack.push_async_callback(webhooks.stop, self.settings.drain_seconds)

    async def _publish_expiry(self, notice: ExpiryNotice) -> None:
        what = credential_event(
            self.clock.now(), notice.mailbox, notice.what, notice.at, notice.why, step=f"{notice.step:g}"
        )
        await self.store.publish_event(what)

    async def _start_coordinator(self, stack: AsyncExitStack) -> None:
        """Start the mailboxes. Without the relay role: only their health checks, no login and no credential checks."""
        factory, targets, relays = MailboxFactory(self.clock), [], self.settings.role != "api"
        for pool in self.settings.pools:
            for one in pool.mailboxes:
                login = factory.credentials(one)
                self._credential_expiries[one.mailbox] = login.expiry
                targets.append(factory.check_target(pool, one, login, self.settings.max_message_bytes))
                if relays:
                    self.coordinator.add(pool.name, one.mailbox, limits(one), partial(factory.sessions, one, login))
                    watch = CredentialExpiryMonitor(one.mailbox, login, self.clock, self._publish_expiry)
                    every = CHECK_INTERVAL / self.clock.speed
                    loop = run_periodically("credential expiry", watch.advance, interval=every)
                    stack.callback(asyncio.create_task(loop).cancel)
        file = database_file(self.settings.store_url)
        sessions = RelaySessions(self.coordinator.logged_in, self.coordinator.reserve_slot)
        self.health_monitor = HealthMonitor(
            self.store, self.clock, targets, sessions, file and file.parent, lambda: self.disk.low
        )
        stack.callback(self.health_monitor.close)
        await self._start_metrics(stack)
        if relays:
            stack.push_async_callback(self.coordinator.stop, self.settings.drain_seconds)
            await self.coordinator.start()

    def _coordinator(self, *, single_node: bool) -> MailboxCoordinator:
        return MailboxCoordinator(
            self.store,
            self.clock,
            f"{gethostname()}:{self._server.port}",
            single_node=single_node,
            heartbeat=self._heartbeat,
            tenant_recipients_per_day=self.settings.tenant_recipients_per_day,
        )

    async def _start_metrics(self, stack: AsyncExitStack) -> None:
        """Start before the mailboxes, so that a separate metrics port answers until the end of a drain."""
        settings = self.settings
        mailboxes = {one.mailbox: pool.name for pool in settings.pools for one in pool.mailboxes}
        self._metrics_exporter = MetricsExporter(self.store, self.clock, mailboxes, self.coordinator.loads)
        stack.callback(self._metrics_exporter.close)
        if settings.metrics_port is not None:
            application = create_metrics_app(self._metrics_exporter.text)
            self._metrics_server = await _listen(stack, application, settings.host, settings.metrics_port)

    def _work_due(self, hints: frozenset[WorkHint]) -> None:
        if self._running_coordinator is not None:
            self._running_coordinator.hint(hints)

    def _mailbox_free(self) -> None:
        if self._running_coordinator is not None:
            self._running_coordinator.hint_free_mailbox()

    async def _apply_setting_key(self) -> None:
        secret = self.settings.api_key
        if secret is None and self.settings.role == "relay":  # it serves no API and may lack the setting
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

    def _with_console(self, api: ASGIApp, context: ApiContext) -> ASGIApp:
        if (password := self.settings.console_password) is None or self.settings.role == "relay":
            return api
        from app.console import Console, ConsoleContext, mount_console  # noqa: PLC0415 - it imports Jinja

        console = ConsoleContext(
            store=self.store,
            clock=self.clock,
            password=password.get_secret_value(),
            pools={one.mailbox: pool.name for pool in self.settings.pools for one in pool.mailboxes},
            capacities=context.capacities,
            credential_expiries=self._credential_expiries,
            readiness=self.health_monitor.readiness,
            deep_check=self.health_monitor.deep_check,
        )
        return mount_console(Console(console), api, self.settings.root_path)

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
    """Export spans if OpenTelemetry's environment variables request it. Raises SettingsError."""
    if not traces_wanted(environment):
        yield
        return
    spans = importlib.import_module(
        "app.tracing_otel"
    ).OtelSpanRecorder.exported()  # by name, because it cannot be imported without the extra
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
    server = HttpServer(
        application, host, port, limits=ServerLimits(responses=transport_responses()), forwarders=forwarders
    )
    await server.start()
    stack.push_async_callback(server.stop)
    return server


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
    """Configure the log; the format `auto` is `human` if standard error is a terminal, else JSON."""
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    own = frozenset(one.mailbox for pool in settings.pools for one in pool.mailboxes)
    logs.configure(human=human, level=settings.log_level, shown=own if settings.log_addresses == "masked" else None)


def _lock_database(url: str, stack: AsyncExitStack) -> bool:
    """Lock an embedded database. True: no other process uses it, so attempts under way in it were abandoned."""
    file = database_file(url)
    if file is None:
        return False
    lock = DatabaseFileLock(file)
    lock.acquire()
    stack.callback(lock.release)
    return True
