"""Readers of message traces (one per tenant) and non-delivery reports (one per mailbox), built from the settings."""

from collections.abc import Iterator, Sequence
from uuid import uuid4

from app.clock import Clock
from app.oauth_factory import OAuthFactory
from app.settings import MailboxSettings, Settings
from app.settings.trace import TraceApp, report_mailboxes, trace_apps
from app.smtp import tls
from app.store import Store
from app.store.trace.records import Scope
from app.trace.client import GraphClient
from app.trace.graph import GraphConnection
from app.trace.lease import LeasedReader
from app.trace.mailbox import FIXES, MailboxClient
from app.trace.ndr_reader import NdrReader
from app.trace.reader import TraceConfig, TraceReader, domains_of


def readers(settings: Settings, store: Store, clock: Clock) -> Iterator[LeasedReader]:
    """Yield the readers; they are not started. Those with the same app share its tokens."""
    factory, replica = OAuthFactory(clock), uuid4()
    apps = trace_apps(settings.pools)
    for app in apps:
        login = app.login
        client = GraphClient(login.graph_url, factory.tokens(login), clock, tls.context(login.token_ca_file))
        config = TraceConfig(app.tenant, _scope(app, apps), settings.trace_settle_hours)
        yield TraceReader(store.traces, clock, client, config, replica)
    pool_names = frozenset(pool.name for pool in settings.pools)
    for source in report_mailboxes(settings.pools):
        mailbox = MailboxClient(_connection(source.login, factory, clock), source.mailbox)
        scope = Scope(pool_names, own_domains=domains_of(source.senders))
        yield NdrReader(store.traces, clock, mailbox, scope, replica)


def _scope(app: TraceApp, apps: Sequence[TraceApp]) -> Scope:
    """Return the emails of a tenant. A pool with mailboxes of several tenants is complete in none."""
    others = {pool.name for other in apps if other is not app for pool in other.pools}
    return Scope(
        pools=frozenset(pool.name for pool in app.pools),
        complete=frozenset(pool.name for pool in app.pools if pool.name not in others),
        retry_unseen=frozenset(pool.name for pool in app.pools if pool.trace_retry_unseen),
        own_domains=domains_of(pattern for pool in app.pools for pattern in pool.senders),
    )


def _connection(login: MailboxSettings, factory: OAuthFactory, clock: Clock) -> GraphConnection:
    return GraphConnection(login.graph_url, factory.tokens(login), clock, tls.context(login.token_ca_file), FIXES)
