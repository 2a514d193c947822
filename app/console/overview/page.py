"""Page of the overview: problems, numbers of emails, mailboxes with their charts, and credentials that expire soon."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from app.cached_result import CachedResult
from app.console.context import ConsoleContext
from app.console.mailbox_view import MailboxView, mailbox_view
from app.console.overview.charts import Chart, charts
from app.console.overview.problems import Severity, current_problems, headline
from app.console.overview.state import StoreState, load_state
from app.console.request import REFRESH_SECONDS, ConsoleRequest
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.mailbox_health import Health
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import Check
from app.mail.times import DAY
from app.store.read.records import BoundedCount, SendHistory

CACHE_LIFETIME = 3.0  # seconds; all visitors share one state of the store
HISTORY_LIFETIME = 15.0  # seconds; it reads a day of sends
EXPIRY_NOTICE = 30 * DAY  # seconds before a credential expires


@dataclass(frozen=True, slots=True)
class UpcomingExpiry:
    """Credential that expires soon, and the mailboxes that use it."""

    expiry: CredentialExpiry
    mailboxes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tile:
    """Number of emails, with the query string of the list that shows them."""

    title: str
    number: BoundedCount
    query: str


class OverviewPage:
    """Route of the overview page."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._state = CachedResult(lambda: load_state(context), CACHE_LIFETIME, context.clock.monotonic)
        self._history = CachedResult(self._load_history, HISTORY_LIFETIME, context.clock.monotonic)

    async def show(self, request: ConsoleRequest) -> Response:
        """GET /console."""
        readiness = await self._context.readiness()
        broken = any(reason.check == Check.STORE for reason in readiness.reasons)
        state = None if broken else await self._state.get()
        mailboxes = [] if state is None else self._mailboxes(state, request.now)
        problems = current_problems(readiness, mailboxes, state)
        return request.page(
            "overview/page.html",
            200 if state else 503,
            live=REFRESH_SECONDS,
            headline=headline(problems, state, readiness.relaying),
            problems=[problem for problem in problems if problem.severity is not Severity.CALM],
            calm=[problem for problem in problems if problem.severity is Severity.CALM],
            critical=Severity.CRITICAL,
            state=state,
            tiles=_tiles(state) if state else (),
            mailboxes=mailboxes,
            charts=_charts(mailboxes, await self._history.get()) if state else {},
            expiring=_upcoming_expiries(mailboxes, request.now),
        )

    async def _load_history(self) -> Mapping[str, SendHistory]:
        return await self._context.store.send_history([*self._context.pools], self._context.clock.now())

    def _mailboxes(self, state: StoreState, now: float) -> list[MailboxView]:
        """Return the mailboxes, those that do not send first."""
        views = (mailbox_view(self._context, name, state.mailboxes, now) for name in self._context.pools)
        return sorted(views, key=lambda view: (view.health == Health.OPEN, view.name))


def _tiles(state: StoreState) -> Sequence[Tile]:
    return [
        Tile("Accepted", state.day.accepted, f"?{state.day_query}"),
        *(
            Tile(
                event.capitalize(),
                BoundedCount(state.day.ended[event], more=False),
                f"?state={event}&{state.day_query}",
            )
            for event in (LastEvent.SENT, LastEvent.DELIVERED, LastEvent.FAILED, LastEvent.BOUNCED)
        ),
        Tile("Waiting now", state.waiting, "?state=queued"),
        Tile("Held now", state.now[MessageState.HELD], "?state=held"),
    ]


def _charts(mailboxes: Sequence[MailboxView], history: Mapping[str, SendHistory]) -> Mapping[str, Sequence[Chart]]:
    return {
        mailbox.name: charts(history[mailbox.name], mailbox.capacity)
        for mailbox in mailboxes
        if mailbox.name in history
    }


def _upcoming_expiries(mailboxes: Sequence[MailboxView], now: float) -> list[UpcomingExpiry]:
    """Return the credentials that expire soon, earliest first. One that several mailboxes share is listed once."""
    users: dict[CredentialExpiry, list[str]] = defaultdict(list)
    for mailbox in mailboxes:
        expiry = mailbox.expiry
        if expiry is not None and (expiry.announced or expiry.at - now < EXPIRY_NOTICE):
            users[expiry].append(mailbox.name)
    return [
        UpcomingExpiry(replace(expiry, explanation=_fill_mailbox(expiry.explanation, names)), names)
        for expiry, names in sorted(users.items(), key=lambda item: item[0].at)
    ]


def _fill_mailbox(explanation: Explanation, names: Sequence[str]) -> Explanation:
    return fill_placeholders(explanation, {"mailbox": names[0]}) if len(names) == 1 else explanation
