"""Factory of a mailbox's credentials, upstream, session pool, check target and limits. Opens no connection.

Mailboxes share the token source of an app and the TLS context of a certificate authority.
"""

from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext

from app.clock import Clock
from app.doctor.target import CheckTarget
from app.mail.message.address import parse_address
from app.relay.mailbox import RelayLimits
from app.settings import MailboxSettings, PoolSettings
from app.settings.sources import secret_source
from app.smtp import tls
from app.smtp.auth.credentials import Credentials, Password
from app.smtp.handshake import Refusal, Session, Upstream, open_session
from app.smtp.login_gate import LoginGate
from app.smtp.pool import SessionPool
from app.smtp.protocol import Timeouts


class MailboxFactory:
    """Factory with a cache of shared TLS contexts and, in its OAuth factory, of token sources."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trust: dict[Path | None, SSLContext] = {}
        self._oauth: Callable[[MailboxSettings], Credentials] | None = None

    def credentials(self, settings: MailboxSettings) -> Credentials:
        """Return the credentials of the mailbox."""
        if settings.password:
            return Password(settings.mailbox, secret_source(settings.password))
        if self._oauth is None:
            from app.oauth_factory import OAuthFactory  # noqa: PLC0415 - it imports MSAL

            self._oauth = OAuthFactory(self._clock).credentials
        return self._oauth(settings)

    def upstream(self, settings: MailboxSettings) -> Upstream:
        """Return the SMTP server of the mailbox."""
        if settings.smtp_ca_file not in self._trust:
            self._trust[settings.smtp_ca_file] = tls.context(settings.smtp_ca_file)
        return Upstream(
            host=settings.smtp_host,
            port=settings.smtp_port,
            ehlo_name=settings.ehlo,
            tls=self._trust[settings.smtp_ca_file],
            ipv4_only=settings.ipv4_only,
            timeouts=Timeouts(),
        )

    def sessions(self, settings: MailboxSettings, login: Credentials) -> SessionPool:
        """Return a session pool without open sessions."""
        upstream = self.upstream(settings)

        async def log_in() -> Session | Refusal:
            return await open_session(upstream, login)

        return SessionPool(LoginGate(log_in, self._clock.monotonic), settings.connections)

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


def limits(settings: MailboxSettings) -> RelayLimits:
    """Return the limits of the mailbox."""
    return RelayLimits(
        connections=settings.connections,
        messages_per_minute=settings.messages_per_minute,
        recipients_per_day=settings.recipients_per_day,
        urgent_connections=settings.urgent_connections,
    )
