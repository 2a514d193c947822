"""Factory of OAuth 2.0 credentials from the settings of a mailbox. Mailboxes share the token source of an app.

Imported only if a mailbox uses OAuth, because MSAL and cryptography are among the largest dependencies.
"""

from collections.abc import Hashable

from app.clock import Clock
from app.settings import MailboxSettings
from app.settings.sources import secret_source
from app.smtp.auth.grants import CertificateGrant, ClientSecret, FederatedToken, Grant, ManagedIdentity, Registration
from app.smtp.auth.oauth import OAuth, TokenSource


class OAuthFactory:
    """Factory with a cache of shared token sources."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[tuple[Hashable, ...], TokenSource] = {}

    def credentials(self, settings: MailboxSettings) -> OAuth:
        """Return the credentials of the mailbox."""
        return OAuth(settings.mailbox, self.tokens(settings))

    def tokens(self, settings: MailboxSettings) -> TokenSource:
        """Return the token source of the mailbox's app."""
        app = _app(settings)
        if app not in self._tokens:
            self._tokens[app] = TokenSource(_grant(settings), self._clock)
        return self._tokens[app]


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
        more = [secret_source(settings.client_secret_next)] if settings.client_secret_next else []
        return ClientSecret(registration, secret_source(settings.client_secret), *more)
    if settings.client_certificate:
        password = settings.client_certificate_password
        return CertificateGrant(
            registration, settings.client_certificate, secret_source(password) if password else None
        )
    if settings.federated_token_file:
        return FederatedToken(registration, settings.federated_token_file)
    return ManagedIdentity(registration)
