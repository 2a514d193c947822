"""Composition root: builds the store, the mailboxes and the HTTP server from the settings; starts and stops them.

Start order: database lock, HTTP server (503 until the store is open), store, disk guard, webhooks, health monitor,
metrics, mailboxes, trace readers, retention, routes. Stop order: HTTP server first, then the reverse.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs, metrics, tracing
from app.api.app import create_metrics_app, create_middleware, mount_routes
from app.api.auth.limits import MemoryBudget
from app.api.context import ApiContext, RequestLimits
from app.api.problems.transport import transport_responses
from app.api.server.middleware import RequestMiddleware
from app.api.submission.pipeline import SubmissionPipeline
from app.background import run_periodically, run_until_closed
from app.clock import Clock
from app.doctor.health_monitor import HealthMonitor, RelaySessions
from app.doctor.target import CheckTarget
from app.http_server.server import HttpServer, ServerLimits
from app.mail.credential_expiry import CredentialExpiry
from app.mail.office365.limits import MailboxLimits
from app.mail.times import DAY
from app.mail.webhook.payload import credential_event
from app.mail.webhook.rules import never_sent
from app.mailbox_factory import MailboxFactory, limits
from app.main.database import apply_setting_key, lock_database, open_store, recover_all
from app.metrics_exporter import MetricsExporter
from app.relay.coordinator import HeartbeatConfig, MailboxCoordinator
from app.retention import PRUNE_INTERVAL, RetentionPeriods, remove_expired
from app.settings import Settings, SettingsError
from app.settings.credential import CLOUDS
from app.smtp import tls
from app.smtp.auth.credentials import Credentials
from app.smtp.auth.expiry_monitor import CHECK_INTERVAL, CredentialExpiryMonitor, ExpiryNotice
from app.store.db.disk_guard import MEASURE_INTERVAL, DiskGuard, ReserveTooLargeError
from app.store.db.engine import database_file
from app.webhooks.dispatcher import WebhookDispatcher

if TYPE_CHECKING:
    from app.webhooks.sender import WebhookSender


class Postern:
    """One running Postern. `async with Postern(settings) as postern: postern.url`."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None
    ) -> None:
        """`heartbeat`: interval and lease of this replica; by default those of the coordinator."""
        self.settings = settings
        self.clock = clock or Clock()
        self._heartbeat = heartbeat
        self._draining = asyncio.Event()
        self._credential_expiries: dict[str, Callable[[], CredentialExpiry | None]] = {}
        self._stack = AsyncExitStack()
        self._metrics_server: HttpServer | None = None

    async def __aenter__(self) -> Self:
        """Start. Raises StoreError, ListenError, SettingsError."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop in reverse order. No accepted email is lost, even if the drain time is too short."""
        self._draining.set()
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
        metrics.declare_alerts(logs.ALERT_EVENTS)
        logs.count_alerts(metrics.alert_logged)
        single_node = lock_database(self.settings.store_url, stack)
        middleware = await self._start_server(stack)
        await self._open_store(stack, single_node=single_node)
        self._start_disk_guard(stack)
        self.coordinator = self._coordinator(single_node=single_node)
        if self.settings.role != "api":
            await self._start_webhooks(stack, single_node=single_node)
        self._start_health_monitor(stack, self._add_mailboxes(stack))
        await self._start_metrics(stack)
        await self._start_relay(stack)
        self._start_trace(stack)
        self._start_retention(stack)
        self._mount_routes(middleware)
        stack.push_async_callback(middleware.close)
        stack.push_async_callback(self._server.stop)  # the first step of a stop

    async def _start_server(self, stack: AsyncExitStack) -> RequestMiddleware:
        """Start the HTTP server. Until the routes are mounted it is alive, but not ready."""
        settings = self.settings
        counted = settings.metrics_port is None
        memory = MemoryBudget(_bytes_in_flight(settings), settings.max_body_bytes)
        middleware = create_middleware(self._draining.is_set, memory, settings.root_path, counted=counted)
        self._application: ASGIApp = middleware
        application = tracing.wrap_application(middleware if settings.console_password is None else self._dispatch)
        self._server = await _listen(stack, application, settings.host, settings.port, settings.forwarded_allow_ips)
        return middleware

    async def _open_store(self, stack: AsyncExitStack, *, single_node: bool) -> None:
        self.store = await open_store(self.settings.store_url, wait_for_server=not single_node)
        stack.push_async_callback(self.store.close)
        days = self.settings.suppression_days
        self.store.suppress_bounces_for((days * DAY or None) if self.settings.suppress_bounces else 0.0)
        if single_node:
            await recover_all(self.store, self.clock.now())
        await apply_setting_key(self.store, self.settings, self.clock.now())

    def _start_disk_guard(self, stack: AsyncExitStack) -> None:
        file = database_file(self.settings.store_url)
        try:
            self.disk = DiskGuard(file and file.parent, self.settings.min_free_bytes)
        except ReserveTooLargeError as error:
            raise SettingsError(f"POSTERN_MIN_FREE_BYTES: {error} Give less, or 0 for no reserve.") from None
        if file is not None:
            run_until_closed(stack, run_periodically("disk", self.disk.measure, interval=MEASURE_INTERVAL))

    async def _start_webhooks(self, stack: AsyncExitStack, *, single_node: bool) -> None:
        webhooks = WebhookDispatcher(self.store, self.clock, self._webhook_sender)
        await webhooks.start(single_node=single_node)
        stack.push_async_callback(webhooks.stop, self.settings.drain_seconds)

    def _webhook_sender(self) -> "WebhookSender":
        from app.webhooks.sender import WebhookSender  # noqa: PLC0415 - it imports httpcore

        return WebhookSender(self.clock, tls.context(None), allow_private=self.settings.webhook_private_addresses)

    async def _publish_expiry(self, notice: ExpiryNotice) -> None:
        what = credential_event(
            self.clock.now(), notice.mailbox, notice.what, notice.at, notice.why, step=f"{notice.step:g}"
        )
        await self.store.publish_event(what)

    def _coordinator(self, *, single_node: bool) -> MailboxCoordinator:
        return MailboxCoordinator(
            self.store,
            self.clock,
            f"{gethostname()}:{self._server.port}",
            single_node=single_node,
            heartbeat=self._heartbeat,
            tenant_recipients_per_day=self.settings.tenant_recipients_per_day,
        )

    def _add_mailboxes(self, stack: AsyncExitStack) -> list[CheckTarget]:
        """Add the mailboxes to the relay, if this process has its role, and return them as targets of checks."""
        factory, targets = MailboxFactory(self.clock), []
        for pool in self.settings.pools:
            for mailbox in pool.mailboxes:
                login = factory.credentials(mailbox)
                self._credential_expiries[mailbox.mailbox] = login.expiry
                targets.append(factory.check_target(pool, mailbox, login, self.settings.max_message_bytes))
                if self.settings.role != "api":
                    self.coordinator.add(
                        pool.name,
                        mailbox.mailbox,
                        limits(mailbox),
                        partial(factory.sessions, mailbox, login),
                        login.method,
                    )
                    self._start_expiry_monitor(stack, mailbox.mailbox, login)
        return targets

    def _start_expiry_monitor(self, stack: AsyncExitStack, mailbox: str, login: Credentials) -> None:
        watch = CredentialExpiryMonitor(mailbox, login, self.clock, self._publish_expiry)
        interval = CHECK_INTERVAL / self.clock.speed
        loop = run_periodically("credential expiry", watch.advance, interval=interval)
        run_until_closed(stack, loop)

    def _start_health_monitor(self, stack: AsyncExitStack, targets: list[CheckTarget]) -> None:
        file = database_file(self.settings.store_url)
        sessions = RelaySessions(self.coordinator.logged_in, self.coordinator.reserve_slot)
        self.health_monitor = HealthMonitor(
            self.store, self.clock, targets, sessions, file and file.parent, lambda: self.disk.low
        )
        stack.callback(self.health_monitor.close)

    async def _start_relay(self, stack: AsyncExitStack) -> None:
        if self.settings.role != "api":
            stack.push_async_callback(self.coordinator.stop, self.settings.drain_seconds)
            await self.coordinator.start()

    def _start_trace(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        if not (settings.traced or settings.reported) or settings.role == "api":
            return
        from app.main.graph_clients import readers  # noqa: PLC0415 - it imports MSAL

        for reader in readers(settings, self.store, self.clock):
            reader.start()
            stack.push_async_callback(reader.stop)

    def _start_retention(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        keep = RetentionPeriods(settings.keep_content_days, settings.keep_metadata_days, settings.keep_audit_days)
        step = partial(remove_expired, self.store, self.clock, keep)
        run_until_closed(stack, run_periodically("retention", step, interval=PRUNE_INTERVAL))

    def _mount_routes(self, middleware: RequestMiddleware) -> None:
        context = self._context()
        submissions = mount_routes(middleware, context, public=self.settings.role != "relay")
        self._application = self._with_console(middleware, context, submissions)

    async def _start_metrics(self, stack: AsyncExitStack) -> None:
        """Start before the mailboxes, so that a separate metrics port answers until the end of a drain."""
        settings = self.settings
        mailboxes = {mailbox.mailbox: pool.name for pool in settings.pools for mailbox in pool.mailboxes}
        self._metrics_exporter = MetricsExporter(self.store, self.clock, mailboxes, self.coordinator.loads)
        stack.callback(self._metrics_exporter.close)
        if settings.metrics_port is not None:
            application = create_metrics_app(self._metrics_exporter.text)
            self._metrics_server = await _listen(stack, application, settings.host, settings.metrics_port)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    def _with_console(self, api: ASGIApp, context: ApiContext, submissions: SubmissionPipeline) -> ASGIApp:
        if (password := self.settings.console_password) is None or self.settings.role == "relay":
            return api
        from app.console import Console, ConsoleApi, ConsoleContext, mount_console  # noqa: PLC0415 - it imports Jinja

        read_password = self.settings.console_read_password

        console = ConsoleContext(
            store=self.store,
            clock=self.clock,
            password=password.get_secret_value(),
            read_password=None if read_password is None else read_password.get_secret_value(),
            api=ConsoleApi(context, submissions),
            pools={mailbox.mailbox: pool.name for pool in self.settings.pools for mailbox in pool.mailboxes},
            message_traces={pool.name: CLOUDS[pool.mailboxes[0].cloud].message_trace for pool in self.settings.pools},
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
                mailbox.mailbox: MailboxLimits(
                    mailbox.messages_per_minute, mailbox.recipients_per_day, mailbox.connections
                )
                for pool in settings.pools
                for mailbox in pool.mailboxes
            },
            credential_expiries=self._credential_expiries,
            limits=RequestLimits(
                max_body_bytes=settings.max_body_bytes,
                max_message_bytes=settings.max_message_bytes,
                max_bytes_in_flight=_bytes_in_flight(settings),
            ),
            readiness=self.health_monitor.readiness,
            deep_check=self.health_monitor.deep_check,
            draining=self._draining.is_set,
            metrics_text=self._metrics_exporter.text if settings.metrics_port is None else None,
            take_disk=self.disk.take,
            allow_private_webhooks=settings.webhook_private_addresses,
            never_sent=never_sent(traced=settings.traced, reported=settings.reported),
            strict=settings.strict,
            root_path=settings.root_path,
        )


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
