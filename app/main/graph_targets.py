"""Targets of the doctor in Microsoft Graph, built from the settings. Opens no connection."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from ssl import SSLContext
from uuid import uuid4

from app.clock import Clock
from app.doctor.finding import Step
from app.doctor.graph import GraphAnswer, GraphTarget
from app.oauth_factory import OAuthFactory
from app.settings import Settings
from app.settings.trace import trace_apps
from app.smtp import tls
from app.smtp.auth.oauth import TokenSource
from app.trace.client import GraphClient
from app.trace.graph import GraphError


def graph_targets(settings: Settings, clock: Clock, read_until: Mapping[str, float]) -> Iterator[GraphTarget]:
    """Yield the tenants whose message trace is read. `read_until` has the progress of the readers, by tenant."""
    factory = OAuthFactory(clock)
    for app in trace_apps(settings.pools):
        source = factory.tokens(app.login)
        ask = _trace_request(app.login.graph_url, source, clock, tls.context(app.login.token_ca_file))
        yield GraphTarget(Step.TRACE, app.tenant, source.token, ask, read_until.get(app.tenant), clock)


def _trace_request(
    base: str, source: TokenSource, clock: Clock, trust: SSLContext
) -> Callable[[], Awaitable[GraphAnswer]]:
    async def ask() -> GraphAnswer:
        """Request the rows of a Message-ID that no email has."""
        client = GraphClient(base, source, clock, trust)
        try:
            await client.first_page(f"messageId eq '<{uuid4()}>'")
        except GraphError as error:
            return GraphAnswer(error.status, str(error))
        finally:
            await client.close()
        return GraphAnswer(200)

    return ask
