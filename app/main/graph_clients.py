"""Clients of Microsoft Graph, built from the settings: targets of the doctor, readers of message traces (one per
tenant) and of non-delivery reports (one per mailbox).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from uuid import uuid4

from app.clock import Clock
from app.doctor.finding import Step
from app.doctor.graph_access import GraphAnswer, GraphTarget
from app.message_trace.graph import GraphConnection, GraphError
from app.message_trace.leased_reader import LeasedReader
from app.message_trace.mailbox_client import FIXES, INBOX, MailboxClient
from app.message_trace.ndr_reader import NdrReader
from app.message_trace.trace_client import TraceClient
from app.message_trace.trace_reader import TraceConfig, TraceReader, domains_of
from app.oauth_factory import OAuthFactory
from app.settings import MailboxSettings, Settings
from app.settings.message_trace import ReportMailbox, TraceApp, report_mailboxes, trace_apps
from app.smtp import tls
from app.store import Store
from app.store.message_trace.records import Scope


def graph_targets(settings: Settings, clock: Clock, read_until: Mapping[str, float]) -> Iterator[GraphTarget]:
    """Yield the tenants whose message trace is read, and the mailboxes that are read for non-delivery reports.

    `read_until` has the progress of the trace's readers, by tenant.
    """
    factory = OAuthFactory(clock)
    for app in trace_apps(settings.pools):
        ask = _trace_request(app.login, factory, clock)
        until = read_until.get(app.tenant)
        yield GraphTarget(Step.TRACE, app.tenant, factory.tokens(app.login).token, ask, until, clock)
    for source in report_mailboxes(settings.pools):
        ask = _inbox_request(source, factory, clock)
        yield GraphTarget(Step.REPORTS, source.mailbox, factory.tokens(source.login).token, ask, clock=clock)


def _trace_request(login: MailboxSettings, factory: OAuthFactory, clock: Clock) -> Callable[[], Awaitable[GraphAnswer]]:
    """Return a request for the rows of a Message-ID that no email has."""

    async def ask() -> GraphAnswer:
        client = _client(login, factory, clock)
        return await _answer(client.first_page(f"messageId eq '<{uuid4()}>'"), client.close)

    return ask


def _inbox_request(source: ReportMailbox, factory: OAuthFactory, clock: Clock) -> Callable[[], Awaitable[GraphAnswer]]:
    """Return a request for the messages that arrive in the Inbox from now on."""

    async def ask() -> GraphAnswer:
        client = MailboxClient(_connection(source.login, factory, clock, {}), source.mailbox)
        return await _answer(client.first_page(INBOX, clock.now()), client.close)

    return ask


async def _answer(request: Awaitable[object], close: Callable[[], Awaitable[None]]) -> GraphAnswer:
    try:
        await request
    except GraphError as error:
        return GraphAnswer(error.status, str(error))
    finally:
        await close()
    return GraphAnswer(200)


def readers(settings: Settings, store: Store, clock: Clock) -> Iterator[LeasedReader]:
    """Yield the readers; they are not started. Those with the same app share its tokens."""
    factory, replica = OAuthFactory(clock), uuid4()
    apps = trace_apps(settings.pools)
    for app in apps:
        client = _client(app.login, factory, clock)
        config = TraceConfig(app.tenant, _scope(app, apps), settings.trace_settle_hours)
        yield TraceReader(store.traces, clock, client, config, replica)
    pool_names = frozenset(pool.name for pool in settings.pools)
    for source in report_mailboxes(settings.pools):
        mailbox = MailboxClient(_connection(source.login, factory, clock, FIXES), source.mailbox)
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


def _client(login: MailboxSettings, factory: OAuthFactory, clock: Clock) -> TraceClient:
    return TraceClient(login.graph_url, factory.tokens(login), clock, tls.context(login.token_ca_file))


def _connection(
    login: MailboxSettings, factory: OAuthFactory, clock: Clock, fixes: Mapping[int, str]
) -> GraphConnection:
    return GraphConnection(login.graph_url, factory.tokens(login), clock, tls.context(login.token_ca_file), fixes)
