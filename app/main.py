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

from app import logs, metrics, traces
from app.api import Edge, create_entrance, create_metrics_app, lead
from app.api import Limits as BodyLimits
from app.api.keys import digest
from app.api.memory import Room
from app.api.unreadable import below
from app.background import run_periodically
from app.clock import Clock
from app.console import Console, Desk, beside
from app.doctor import Rounds, Sessions
from app.listener import Bounds, Listener
from app.mail.ending import Ending
from app.mail.forecast import Capacity
from app.mail.notice import of_credential
from app.relay.courier import Courier
from app.relay.fleet import Fleet, Rhythm
from app.relay.retention import Keep, Retention
from app.relay.webhooks import Webhooks
from app.scrape import Scrape
from app.settings import Settings, SettingsError
from app.settings.telemetry import traces_wanted
from app.smtp import tls
from app.smtp.expiry import LOOK, News, Watch
from app.store import Store, StoreUnreachable
from app.store.disk_guard import DiskGuard, ReserveTooLarge
from app.store.engine import database_file
from app.store.owner import OwnerLock
from app.store.records import Hint
from app.store.setting_key import BY, Outcome
from app.wiring import Wiring, limits

AGAIN = 5.0  # seconds until a database server that is not there is tried again


class Postern:
    """One running Postern. `async with Postern(settings) as postern: postern.url`."""

    def __init__(self, settings: Settings, clock: Clock | None = None, rhythm: Rhythm | None = None) -> None:
        """`rhythm` is how a replica stays alive for the others."""
        self.settings = settings
        self.clock = clock or Clock()
        self._rhythm = rhythm
        self._draining = False
        self._endings: dict[str, Callable[[], Ending | None]] = {}
        self._stack = AsyncExitStack()
        self._metrics: Listener | None = None

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
        return self._listener.url

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads what was counted."""
        return f"{(self._metrics or self._listener).url}/metrics"

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        metrics.expect_troubles(logs.TROUBLES)
        logs.count_troubles(metrics.troubled)
        alone = _own(settings.store_url, stack)
        counted = settings.metrics_port is None
        room = Room(_bytes_in_flight(settings), settings.max_body_bytes)
        entrance = create_entrance(lambda: self._draining, room, settings.root_path, counted=counted)
        self._application: ASGIApp = entrance
        door = traces.around(entrance if settings.console_password is None else self._door)
        self._listener = await _listen(stack, door, settings.host, settings.port, settings.forwarded_allow_ips)
        self.store = await self._open_store(patient=not alone)
        stack.push_async_callback(self.store.close)
        if alone:
            for email, in_doubt in await self.store.reclaim(self.clock.now(), everything=True):
                logs.reclaimed(email, in_doubt=in_doubt)
        await self._apply_setting_key()
        await self._start_disk_guard(stack)
        self.fleet = self._fleet(alone=alone)
        if settings.role != "api":
            await self._start_webhooks(stack, alone=alone)
        await self._start_fleet(stack)
        keep = Keep(settings.keep_content_days, settings.keep_metadata_days, settings.keep_audit_days)
        self.retention = Retention(self.store, self.clock, keep)
        self.retention.start()
        stack.push_async_callback(self.retention.stop)
        edge = self._edge()
        lead(entrance, edge, public=settings.role != "relay")
        self._application = self._with_console(entrance, edge)
        stack.push_async_callback(entrance.close)
        stack.push_async_callback(self._listener.stop)  # first of all

    async def _start_disk_guard(self, stack: AsyncExitStack) -> None:
        file = database_file(self.settings.store_url)
        try:
            self.disk = DiskGuard(file and file.parent, self.settings.min_free_bytes)
        except ReserveTooLarge as error:
            raise SettingsError(f"POSTERN_MIN_FREE_BYTES: {error} Give less, or 0 for no reserve.") from None
        self.disk.start()
        stack.push_async_callback(self.disk.stop)

    async def _open_store(self, *, patient: bool) -> Store:
        """`patient`: a database server that is not there may come, and to end would only mean to be started again."""
        while True:
            try:
                return await Store.open(self.settings.store_url, on_due=self._due, on_free=self._free)
            except StoreUnreachable as error:
                if not patient:
                    raise
                logs.store_awaited(error, seconds=AGAIN)
            await asyncio.sleep(AGAIN)

    async def _start_webhooks(self, stack: AsyncExitStack, *, alone: bool) -> None:
        courier = Courier(self.clock, tls.context(None), private=self.settings.webhook_private_addresses)
        webhooks = Webhooks(self.store, self.clock, courier)
        await webhooks.start(alone=alone)
        stack.push_async_callback(webhooks.stop, self.settings.drain_seconds)

    async def _announce(self, news: News) -> None:
        what = of_credential(self.clock.now(), news.mailbox, news.what, news.at, news.why, step=f"{news.step:g}")
        await self.store.announce(what)

    async def _start_fleet(self, stack: AsyncExitStack) -> None:
        """Only who relays logs in of itself, and looks after what it logs in with."""
        wiring, cases, relays = Wiring(self.clock), [], self.settings.role != "api"
        for pool in self.settings.pools:
            for one in pool.mailboxes:
                login = wiring.credentials(one)
                self._endings[one.mailbox] = login.ending
                cases.append(wiring.case(pool, one, login, self.settings.max_message_bytes))
                if relays:
                    self.fleet.add(pool.name, one.mailbox, limits(one), partial(wiring.sessions, one, login))
                    watch = Watch(one.mailbox, login, self.clock, self._announce)
                    every = LOOK / self.clock.speed
                    loop = run_periodically("credential expiry", watch.advance, interval=every)
                    stack.callback(asyncio.create_task(loop).cancel)
        file = database_file(self.settings.store_url)
        sessions = Sessions(self.fleet.logged_in, self.fleet.slot)
        self.rounds = Rounds(self.store, self.clock, cases, sessions, file and file.parent, lambda: self.disk.low)
        stack.callback(self.rounds.close)
        await self._start_metrics(stack)
        if relays:
            stack.push_async_callback(self.fleet.stop, self.settings.drain_seconds)
            await self.fleet.start()

    def _fleet(self, *, alone: bool) -> Fleet:
        return Fleet(
            self.store,
            self.clock,
            f"{gethostname()}:{self._listener.port}",
            alone=alone,
            rhythm=self._rhythm,
            tenant_recipients_per_day=self.settings.tenant_recipients_per_day,
        )

    async def _start_metrics(self, stack: AsyncExitStack) -> None:
        """Before the relay, so that a port of their own is there to the end of a drain."""
        settings = self.settings
        mailboxes = {one.mailbox: pool.name for pool in settings.pools for one in pool.mailboxes}
        self._scrape = Scrape(self.store, self.clock, mailboxes, self.fleet.loads)
        stack.callback(self._scrape.close)
        if settings.metrics_port is not None:
            door = create_metrics_app(self._scrape.text)
            self._metrics = await _listen(stack, door, settings.host, settings.metrics_port)

    def _due(self, hints: frozenset[Hint]) -> None:
        if fleet := getattr(self, "fleet", None):
            fleet.due(hints)

    def _free(self) -> None:
        if fleet := getattr(self, "fleet", None):
            fleet.look()

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

    async def _door(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    def _with_console(self, api: ASGIApp, edge: Edge) -> ASGIApp:
        if (password := self.settings.console_password) is None or self.settings.role == "relay":
            return api
        desk = Desk(
            store=self.store,
            clock=self.clock,
            password=password.get_secret_value(),
            pools={one.mailbox: pool.name for pool in self.settings.pools for one in pool.mailboxes},
            capacities=edge.capacities,
            endings=self._endings,
            ready=self.rounds.stand,
            examine=self.rounds.examine,
        )
        return beside(Console(desk), api, self.settings.root_path)

    def _edge(self) -> Edge:
        settings, routes = self.settings, self.settings.routes
        return Edge(
            store=self.store,
            clock=self.clock,
            route=routes.route,
            default_sender=routes.default_sender,
            capacities={
                one.mailbox: Capacity(one.messages_per_minute, one.recipients_per_day, one.connections)
                for pool in settings.pools
                for one in pool.mailboxes
            },
            endings=self._endings,
            limits=BodyLimits(
                max_body_bytes=settings.max_body_bytes,
                max_message_bytes=settings.max_message_bytes,
                max_bytes_in_flight=_bytes_in_flight(settings),
            ),
            ready=self.rounds.stand,
            examine=self.rounds.examine,
            draining=lambda: self._draining,
            counted=self._scrape.text if settings.metrics_port is None else None,
            take_disk=self.disk.take,
            private_webhooks=settings.webhook_private_addresses,
            root_path=settings.root_path,
        )


async def serve(settings: Settings, clock: Clock | None = None, rhythm: Rhythm | None = None) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with traced(os.environ):
        await _serve(settings, clock, rhythm, stop)
    logs.stopped()


@contextmanager
def traced(environment: Mapping[str, str]) -> Iterator[None]:
    """With spans made and sent, if OpenTelemetry's variables ask for it. Raises SettingsError."""
    if not traces_wanted(environment):
        yield
        return
    spans = importlib.import_module("app.otlp").Spans.exported()  # by name: without the extra it cannot be imported
    traces.record(spans)
    try:
        yield
    finally:
        traces.record(None)
        spans.close()


async def _serve(settings: Settings, clock: Clock | None, rhythm: Rhythm | None, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(Postern(settings, clock, rhythm)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _tell_started(await starting)
            await stopping
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _bytes_in_flight(settings: Settings) -> int:
    return max(settings.max_bytes_in_flight, settings.max_body_bytes)


async def _listen(
    stack: AsyncExitStack, application: ASGIApp, host: str, port: int, forwarders: Sequence[str] = ()
) -> Listener:
    listener = Listener(application, host, port, bounds=Bounds(answers=below()), forwarders=forwarders)
    await listener.start()
    stack.push_async_callback(listener.stop)
    return listener


def _tell_started(postern: Postern) -> None:
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


def _own(url: str, stack: AsyncExitStack) -> bool:
    """True if this process now owns an embedded database: whatever was under way there is nobody's any more."""
    file = database_file(url)
    if file is None:
        return False
    lock = OwnerLock(file)
    lock.acquire()
    stack.callback(lock.release)
    return True
