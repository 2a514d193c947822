"""Targets of the doctor in Microsoft Graph, built from the settings. Opens no connection."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from uuid import uuid4

from app.clock import Clock
from app.doctor.finding import Step
from app.doctor.graph import GraphAnswer, GraphTarget
from app.oauth_factory import OAuthFactory
from app.settings import MailboxSettings, Settings
from app.settings.trace import ReportMailbox, report_mailboxes, trace_apps
from app.smtp import tls
from app.trace.client import GraphClient
from app.trace.graph import GraphConnection, GraphError
from app.trace.mailbox import INBOX, MailboxClient


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
        client = GraphClient(login.graph_url, factory.tokens(login), clock, tls.context(login.token_ca_file))
        return await _answer(client.first_page(f"messageId eq '<{uuid4()}>'"), client.close)

    return ask


def _inbox_request(source: ReportMailbox, factory: OAuthFactory, clock: Clock) -> Callable[[], Awaitable[GraphAnswer]]:
    """Return a request for the messages that arrive in the Inbox from now on."""
    login = source.login

    async def ask() -> GraphAnswer:
        trust = tls.context(login.token_ca_file)
        client = MailboxClient(
            GraphConnection(login.graph_url, factory.tokens(login), clock, trust, {}), source.mailbox
        )
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
