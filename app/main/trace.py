"""Readers of Exchange's message trace, built from the settings: one for each tenant."""

from collections.abc import Iterator, Sequence
from uuid import uuid4

from app.clock import Clock
from app.oauth_factory import OAuthFactory
from app.settings import Settings
from app.settings.trace import TraceApp, trace_apps
from app.smtp import tls
from app.store import Store
from app.store.trace.records import Scope
from app.trace.client import GraphClient
from app.trace.reader import TraceConfig, TraceReader, domains_of


def trace_readers(settings: Settings, store: Store, clock: Clock) -> Iterator[TraceReader]:
    """Yield the readers; they are not started."""
    factory, replica = OAuthFactory(clock), uuid4()
    apps = trace_apps(settings.pools, settings)
    for app in apps:
        trust = tls.context(app.login.token_ca_file)
        client = GraphClient(settings.graph_url, factory.tokens(app.login), clock, trust)
        config = TraceConfig(app.tenant, _scope(app, apps), settings.trace_settle_hours)
        yield TraceReader(store.traces, clock, client, config, replica)


def _scope(app: TraceApp, apps: Sequence[TraceApp]) -> Scope:
    """Return the emails of a tenant. A pool with mailboxes of several tenants is complete in none."""
    others = {pool.name for other in apps if other is not app for pool in other.pools}
    return Scope(
        pools=frozenset(pool.name for pool in app.pools),
        complete=frozenset(pool.name for pool in app.pools if pool.name not in others),
        retry_unseen=frozenset(pool.name for pool in app.pools if pool.trace_retry_unseen),
        own_domains=domains_of(pattern for pool in app.pools for pattern in pool.senders),
    )
