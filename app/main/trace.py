"""Readers of Exchange's message trace, built from the settings: one for each tenant."""

from collections.abc import Iterator
from uuid import uuid4

from app.clock import Clock
from app.oauth_factory import OAuthFactory
from app.settings import Settings
from app.settings.trace import trace_apps
from app.smtp import tls
from app.store import Store
from app.trace.client import GraphClient
from app.trace.reader import TraceConfig, TraceReader, domains_of


def trace_readers(settings: Settings, store: Store, clock: Clock) -> Iterator[TraceReader]:
    """Yield the readers; they are not started."""
    factory, replica = OAuthFactory(clock), uuid4()
    for app in trace_apps(settings.pools, settings):
        trust = tls.context(app.login.token_ca_file)
        client = GraphClient(settings.graph_url, factory.tokens(app.login), clock, trust)
        config = TraceConfig(app.tenant, domains_of(app.senders), settings.trace_settle_hours)
        yield TraceReader(store.traces, clock, client, config, replica)
