"""The composition root: settings become a store, a mailbox's relay and the HTTP edge, started and stopped in order.

The only file that knows all the others. Start: lock, store, relay, door. Stop: door, relay, store, lock.
"""

import asyncio
import random
import signal
import sys
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from typing import Self
from uuid import UUID, uuid5

from pydantic import SecretStr

from app import logs
from app.api import Edge, create_app
from app.api import Limits as BodyLimits
from app.api.errors import not_http
from app.api.keys import digest
from app.clock import Clock
from app.listener import Listener
from app.mail.address import Address
from app.relay.mailbox import Limits, Mailbox
from app.relay.worker import Relay
from app.settings import FileSecret, Settings
from app.smtp import tls
from app.smtp.credentials import Credentials, Password, SecretFile
from app.smtp.expiry import Watch
from app.smtp.grants import CertificateGrant, ClientSecret, FederatedToken, Grant, ManagedIdentity, Registration
from app.smtp.oauth import OAuth, TokenSource
from app.smtp.pool import Pool
from app.smtp.session import Refused, Session, Upstream, open_session
from app.smtp.timeouts import Timeouts
from app.smtp.turnstile import Turnstile
from app.store import Store
from app.store.engine import database_file
from app.store.owner import OwnerLock
from app.store.records import Key, Permission

POOL = "default"
_SETTING_KEY = UUID("5f1f0a8e-9a55-4e0c-8d56-7c1d3a0f6b11")  # names the key that POSTERN_API_KEY gives


class Postern:
    """One running Postern. `async with Postern(settings) as postern: postern.url`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self._draining = False
        self._stack = AsyncExitStack()

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

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        alone = _own(settings.store_url, stack)
        self.store = await Store.open(settings.store_url, on_due=self._due)
        stack.push_async_callback(self.store.close)
        for email, in_doubt in await self.store.reclaim(self.clock.now(), everything=alone):
            logs.reclaimed(email, in_doubt=in_doubt)
        await self._keep_first_key()
        self.mailbox = Mailbox(settings.mailbox, _limits(settings), self.clock)
        login = credentials(settings, self.clock)
        sessions = _sessions(settings, login, self.clock)
        self.relay = Relay(self.store, POOL, self.mailbox, sessions, self.clock, random.Random())  # noqa: S311
        await self.relay.start()
        stack.push_async_callback(self.relay.stop, settings.drain_seconds)
        watch = asyncio.create_task(Watch(settings.mailbox, login, self.clock).keep())
        stack.callback(watch.cancel)
        self._listener = Listener(create_app(self._edge()), settings.host, settings.port, malformed=not_http())
        await self._listener.start()
        stack.push_async_callback(self._listener.stop)

    def _due(self) -> None:
        if relay := getattr(self, "relay", None):
            relay.wake()

    async def _keep_first_key(self) -> None:
        if (secret := self.settings.api_key) is None:
            return
        hashed = digest(secret.get_secret_value())
        if await self.store.find_key(hashed) is None:
            id = uuid5(_SETTING_KEY, hashed.hex())
            await self.store.create_key(Key(id, "POSTERN_API_KEY", Permission.FULL_ACCESS, self.clock.now()), hashed)

    def _edge(self) -> Edge:
        settings = self.settings
        return Edge(
            store=self.store,
            clock=self.clock,
            route=self._route,
            default_sender=settings.default_sender,
            limits=BodyLimits(max_body_bytes=settings.max_body_bytes, max_message_bytes=settings.max_message_bytes),
            ready=self._ready,
            draining=lambda: self._draining,
        )

    def _route(self, sender: Address) -> str | None:
        """The pool that may send as `sender`, if any."""
        address = sender.addr_spec.lower()
        return POOL if any(fnmatchcase(address, pattern) for pattern in self.settings.sender_patterns) else None

    async def _ready(self) -> list[str]:
        """Why callers should not come here: empty when they should."""
        await self.store.ping()
        return []


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Postern(settings) as postern:
        logs.started(url=postern.url, mailbox=settings.mailbox, upstream=f"{settings.smtp_host}:{settings.smtp_port}")
        await stop.wait()
    logs.stopped()


def configure_logs(settings: Settings) -> None:
    """As the settings say; `auto` is for people when standard error is a terminal."""
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    logs.configure(human=human, level=settings.log_level)


def _own(url: str, stack: AsyncExitStack) -> bool:
    """True if this process now owns an embedded database: whatever was under way there is nobody's any more."""
    file = database_file(url)
    if file is None:
        return False
    lock = OwnerLock(file)
    lock.acquire()
    stack.callback(lock.release)
    return True


def _limits(settings: Settings) -> Limits:
    return Limits(settings.connections, settings.messages_per_minute, settings.recipients_per_day)


def credentials(settings: Settings, clock: Clock | None = None) -> Credentials:
    """What the mailbox logs in with."""
    if settings.password:
        return Password(settings.mailbox, _secret(settings.password))
    return OAuth(settings.mailbox, TokenSource(_grant(settings), clock or Clock()))


def _grant(settings: Settings) -> Grant:
    """The one way that the settings give."""
    registration = Registration(
        settings.authority,
        settings.tenant_id or "",
        settings.client_id or "",
        settings.token_scope,
        settings.token_ca_file,
    )
    if settings.client_secret:
        more = [_secret(settings.client_secret_next)] if settings.client_secret_next else []
        return ClientSecret(registration, _secret(settings.client_secret), *more)
    if settings.client_certificate:
        password = settings.client_certificate_password
        return CertificateGrant(registration, settings.client_certificate, _secret(password) if password else None)
    if settings.federated_token_file:
        return FederatedToken(registration, settings.federated_token_file)
    return ManagedIdentity(registration)


def _secret(given: SecretStr) -> str | SecretFile:
    """What came from a file is read again at every use."""
    return SecretFile(given.path) if isinstance(given, FileSecret) else given.get_secret_value()


def upstream(settings: Settings) -> Upstream:
    """Where mail goes, and how."""
    return Upstream(
        host=settings.smtp_host,
        port=settings.smtp_port,
        ehlo_name=settings.ehlo,
        tls=tls.context(settings.smtp_ca_file),
        ipv4_only=settings.ipv4_only,
        timeouts=Timeouts(),
    )


def _sessions(settings: Settings, login: Credentials, clock: Clock) -> Pool:
    there = upstream(settings)

    async def open_one() -> Session | Refused:
        return await open_session(there, login)

    return Pool(Turnstile(open_one, clock.monotonic), settings.connections)
