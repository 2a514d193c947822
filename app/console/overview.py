"""Overview page: current problems and their fixes, the mailboxes, and the emails that are not finished."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from starlette.responses import Response

from app.cached_result import CachedResult
from app.console.context import ConsoleContext
from app.console.mailbox_view import MailboxView, mailbox_path, mailbox_view
from app.console.request import ConsoleRequest
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import Health
from app.mail.message.message import Lane
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import Check, Readiness
from app.mail.times import DAY
from app.store.mailboxes.records import MailboxRecord, MailboxUsage
from app.store.read.records import Backlog, Waiting
from app.store.webhooks.records import Webhook, WebhookStatus

CACHE_LIFETIME = 3.0  # seconds; all visitors share one count of the backlog
EXPIRY_NOTICE = 30 * DAY  # seconds before a credential expires
_HELD_FIX = "Open each email, and retry it, confirm that it has arrived, or cancel it."
_WEBHOOK_FIX = "Check that its endpoint responds, then enable it: `PATCH /webhooks/<id>` with `status` `enabled`."
_STATES: tuple[Literal["ready", "resting", "active", "held"], ...] = ("ready", "resting", "active", "held")


@dataclass(frozen=True, slots=True)
class CurrentProblem:
    """Problem that an operator can fix."""

    explanation: Explanation
    mailbox: str = ""
    link: str = ""  # path of the page with details, below the console
    severe: bool = False


@dataclass(frozen=True, slots=True)
class UpcomingExpiry:
    """Credential that expires soon, and the mailboxes that use it."""

    expiry: CredentialExpiry
    mailboxes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _StoreState:
    """State of mailboxes, backlog and webhooks, as the store has it."""

    mailboxes: Mapping[str, MailboxRecord]
    usage: Mapping[str, MailboxUsage]
    lanes: Sequence["LaneView"]
    held: int
    webhooks: Sequence[Webhook]


@dataclass(frozen=True, slots=True)
class LaneView:
    """Numbers of unfinished emails in one lane of a pool, by state: `resting` is scheduled or deferred."""

    pool: str
    lane: Lane
    ready: int
    resting: int
    active: int
    held: int
    oldest: float | None  # seconds since the oldest email became due


class OverviewPage:
    """Route of the overview page."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._state = CachedResult(self._load, CACHE_LIFETIME, context.clock.monotonic)

    async def show(self, request: ConsoleRequest) -> Response:
        """GET /console."""
        readiness = await self._context.readiness()
        if any(reason.check == Check.STORE for reason in readiness.reasons):
            problems = [*_readiness_problems(readiness)]
            return request.page("overview.html", 503, readiness=readiness, problems=problems, state=None)
        state = await self._state.get()
        mailboxes = [
            mailbox_view(self._context, name, state.mailboxes, state.usage, request.now) for name in self._context.pools
        ]
        mailboxes.sort(key=lambda one: (one.health == Health.OPEN, one.name))
        return request.page(
            "overview.html",
            readiness=readiness,
            problems=[*_readiness_problems(readiness), *_store_problems(state)],
            state=state,
            mailboxes=mailboxes,
            expiring=_upcoming_expiries(mailboxes, request.now),
        )

    async def _load(self) -> _StoreState:
        store, now = self._context.store, self._context.clock.now()
        backlog = await store.backlog([*dict.fromkeys(self._context.pools.values())], now)
        return _StoreState(
            {record.name: record for record in await store.mailboxes()},
            await store.usage(now),
            lanes=_lanes(backlog, self._context.pools.values(), now),
            held=sum(count for one, count in backlog.waiting.items() if one.state == "held"),
            webhooks=await store.webhooks(),
        )


def _lanes(backlog: Backlog, pools: Iterable[str], now: float) -> list[LaneView]:
    """Return the lanes that are not empty."""
    views = []
    for pool, lane in product(dict.fromkeys(pools), Lane):
        counts = {state: backlog.waiting.get(Waiting(pool, lane, state), 0) for state in _STATES}
        since = backlog.oldest.get((pool, lane))
        if any(counts.values()):
            views.append(LaneView(pool, lane, **counts, oldest=None if since is None else max(0.0, now - since)))
    return views


def _readiness_problems(readiness: Readiness) -> Iterator[CurrentProblem]:
    for reason in readiness.reasons:
        shown = reason.as_json(names=True)
        link = mailbox_path(reason.mailbox) if reason.mailbox else ""
        yield CurrentProblem(Explanation(shown["summary"], shown["fix"]), reason.mailbox, link, severe=True)


def _store_problems(state: _StoreState) -> Iterator[CurrentProblem]:
    """Return problems that do not affect the readiness of Postern."""
    if state.held:
        emails = "1 email is" if state.held == 1 else f"{state.held:,} emails are"
        yield CurrentProblem(
            Explanation(f"{emails} held until an operator decides.", _HELD_FIX), link="/emails?state=held"
        )
    for one in state.webhooks:
        if one.status is WebhookStatus.DISABLED and one.reason:
            explanation = Explanation(f"A webhook is disabled: {one.reason}", _WEBHOOK_FIX)
            yield CurrentProblem(fill_placeholders(explanation, {"id": str(one.id)}), link="/webhooks")


def _upcoming_expiries(mailboxes: Sequence[MailboxView], now: float) -> list[UpcomingExpiry]:
    """Return the credentials that expire soon, earliest first. One that several mailboxes share is listed once."""
    users: dict[CredentialExpiry, list[str]] = defaultdict(list)
    for one in mailboxes:
        if one.expiry is not None and (one.expiry.announced or one.expiry.at - now < EXPIRY_NOTICE):
            users[one.expiry].append(one.name)
    return [
        UpcomingExpiry(replace(expiry, explanation=_fill_mailbox(expiry.explanation, names)), names)
        for expiry, names in sorted(users.items(), key=lambda one: one[0].at)
    ]


def _fill_mailbox(explanation: Explanation, names: Sequence[str]) -> Explanation:
    return fill_placeholders(explanation, {"mailbox": names[0]}) if len(names) == 1 else explanation
