"""Factory of a mailbox's credentials, upstream and session pool from its settings. Opens no connection.

Mailboxes share the token source of an app and the TLS context of a certificate authority.
"""

from collections.abc import Callable, Hashable
from pathlib import Path
from ssl import SSLContext
from typing import TypeVar

from pydantic import SecretStr

from app.clock import Clock
from app.doctor import CheckTarget
from app.mail.message.address import parse_address
from app.relay.mailbox import Limits
from app.settings import FileSecret, MailboxSettings, PoolSettings
from app.smtp import tls
from app.smtp.auth.credentials import Credentials, Password, SecretFile
from app.smtp.auth.grants import CertificateGrant, ClientSecret, FederatedToken, Grant, ManagedIdentity, Registration
from app.smtp.auth.oauth import OAuth, TokenSource
from app.smtp.handshake import Refusal, Session, Upstream, open_session
from app.smtp.login_gate import LoginGate
from app.smtp.pool import SessionPool
from app.smtp.timeouts import Timeouts

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class MailboxFactory:
    """Factory with a cache of shared token sources and TLS contexts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[tuple[Hashable, ...], TokenSource] = {}
        self._trust: dict[Path | None, SSLContext] = {}

    def credentials(self, settings: MailboxSettings) -> Credentials:
        """Return the credentials of the mailbox."""
        if settings.password:
            return Password(settings.mailbox, _secret(settings.password))
        make = lambda: TokenSource(_grant(settings), self._clock)  # noqa: E731 - it is made only if it is not there
        return OAuth(settings.mailbox, _once(self._tokens, _app(settings), make))

    def upstream(self, settings: MailboxSettings) -> Upstream:
        """Return the SMTP server of the mailbox."""
        return Upstream(
            host=settings.smtp_host,
            port=settings.smtp_port,
            ehlo_name=settings.ehlo,
            tls=_once(self._trust, settings.smtp_ca_file, lambda: tls.context(settings.smtp_ca_file)),
            ipv4_only=settings.ipv4_only,
            timeouts=Timeouts(),
        )

    def sessions(self, settings: MailboxSettings, login: Credentials) -> SessionPool:
        """Return a session pool without open sessions."""
        there = self.upstream(settings)

        async def open_one() -> Session | Refusal:
            return await open_session(there, login)

        return SessionPool(LoginGate(open_one, self._clock.monotonic), settings.connections)

    def check_target(
        self, pool: PoolSettings, settings: MailboxSettings, login: Credentials, max_message_bytes: int
    ) -> CheckTarget:
        """Return the mailbox as a target of the doctor's checks."""
        return CheckTarget(
            mailbox=settings.mailbox,
            upstream=self.upstream(settings),
            credentials=login,
            senders=pool.senders,
            sender=parse_address(pool.default_sender or settings.mailbox),
            max_message_bytes=max_message_bytes,
            clock=self._clock,
        )


def limits(settings: MailboxSettings) -> Limits:
    """Return the limits of the mailbox."""
    return Limits(
        connections=settings.connections,
        messages_per_minute=settings.messages_per_minute,
        recipients_per_day=settings.recipients_per_day,
        urgent_connections=settings.urgent_connections,
    )


def _once(made: dict[K, V], key: K, make: Callable[[], V]) -> V:
    if key not in made:
        made[key] = make()
    return made[key]


def _app(settings: MailboxSettings) -> tuple[Hashable, ...]:
    """Return the settings that identify one app's tokens."""
    return (
        *(settings.authority, settings.tenant_id, settings.client_id, settings.token_scope, settings.token_ca_file),
        *(settings.client_secret, settings.client_secret_next, settings.client_certificate),
        *(settings.client_certificate_password, settings.federated_token_file, settings.managed_identity),
    )


def _grant(settings: MailboxSettings) -> Grant:
    """Return the grant that the settings select."""
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
    """Return a secret; one from a file is read again at every use."""
    return SecretFile(given.path) if isinstance(given, FileSecret) else given.get_secret_value()
