"""The first page: what is wrong now and what mends it, the mailboxes, and what waits. Changes nothing."""

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
from app.store.mailboxes.records import MailboxRecord, MailboxUsage
from app.store.read.records import Backlog, Waiting
from app.store.webhooks.records import Status, Webhook

GOOD_FOR = 3.0  # seconds: what is counted is counted once for all who look
SOON = 30 * 86_400.0  # seconds before a credential's end
_STATES: tuple[Literal["ready", "resting", "active", "held"], ...] = ("ready", "resting", "active", "held")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something to be mended. `link` leads to more of it, below the console."""

    why: Explanation
    about: str = ""
    link: str = ""
    severe: bool = False


@dataclass(frozen=True, slots=True)
class UpcomingExpiry:
    """What ends soon, and whose it is."""

    ending: CredentialExpiry
    mailboxes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store says."""

    mailboxes: Mapping[str, MailboxRecord]
    usage: Mapping[str, MailboxUsage]
    lanes: Sequence["LaneView"]
    held: int
    webhooks: Sequence[Webhook]


@dataclass(frozen=True, slots=True)
class LaneView:
    """What of one lane of a pool is not over, and for how many seconds its oldest has been due."""

    pool: str
    lane: Lane
    ready: int
    resting: int
    active: int
    held: int
    oldest: float | None


class OverviewPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk
        self._fresh = CachedResult(self._load, GOOD_FOR, desk.clock.monotonic)

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console."""
        stands = await self._desk.readiness()
        if any(reason.check == Check.STORE for reason in stands.reasons):
            return visit.page("overview.html", 503, stands=stands, troubles=[*_of(stands)], found=None)
        found = await self._fresh.get()
        mailboxes = [
            mailbox_view(self._desk, name, found.mailboxes, found.usage, visit.now) for name in self._desk.pools
        ]
        mailboxes.sort(key=lambda one: (one.health == Health.OPEN, one.name))
        troubles = [*_of(stands), *_beyond(found)]
        coming = _coming(mailboxes, visit.now)
        return visit.page(
            "overview.html", stands=stands, troubles=troubles, found=found, mailboxes=mailboxes, coming=coming
        )

    async def _load(self) -> _Found:
        store, now = self._desk.store, self._desk.clock.now()
        backlog = await store.backlog([*dict.fromkeys(self._desk.pools.values())], now)
        return _Found(
            {record.name: record for record in await store.mailboxes()},
            await store.usage(now),
            lanes=_lanes(backlog, self._desk.pools.values(), now),
            held=sum(count for one, count in backlog.waiting.items() if one.state == "held"),
            webhooks=await store.webhooks(),
        )


def _lanes(backlog: Backlog, pools: Iterable[str], now: float) -> list[LaneView]:
    """Those in which there is anything."""
    views = []
    for pool, lane in product(dict.fromkeys(pools), Lane):
        counts = {state: backlog.waiting.get(Waiting(pool, lane, state), 0) for state in _STATES}
        since = backlog.oldest.get((pool, lane))
        if any(counts.values()):
            views.append(LaneView(pool, lane, **counts, oldest=None if since is None else max(0.0, now - since)))
    return views


def _of(stands: Readiness) -> Iterator[Trouble]:
    for reason in stands.reasons:
        shown = reason.shown(names=True)
        link = mailbox_path(reason.mailbox) if reason.mailbox else ""
        yield Trouble(Explanation(shown["summary"], shown["fix"]), reason.mailbox, link, severe=True)


def _beyond(found: _Found) -> Iterator[Trouble]:
    """What is to be mended though Postern itself is well."""
    if found.held:
        emails = "1 email is" if found.held == 1 else f"{found.held:,} emails are"
        yield Trouble(Explanation(f"{emails} held until a person decides.", _DECIDE), link="/emails?state=held")
    for one in found.webhooks:
        if one.status is Status.DISABLED and one.reason:
            why = Explanation(f"A webhook is disabled: {one.reason}", _ENABLE)
            yield Trouble(fill_placeholders(why, {"id": str(one.id)}), link="/webhooks")


def _coming(mailboxes: Sequence[MailboxView], now: float) -> list[UpcomingExpiry]:
    """Which credentials end soon, the first of them first; what several mailboxes have in common is told once."""
    of: dict[CredentialExpiry, list[str]] = defaultdict(list)
    for one in mailboxes:
        if one.ending is not None and (one.ending.announced or one.ending.at - now < SOON):
            of[one.ending].append(one.name)
    return [
        UpcomingExpiry(replace(ending, explanation=_named(ending.explanation, names)), names)
        for ending, names in sorted(of.items(), key=lambda one: one[0].at)
    ]


def _named(why: Explanation, names: Sequence[str]) -> Explanation:
    return fill_placeholders(why, {"mailbox": names[0]}) if len(names) == 1 else why


_DECIDE = "Look at each: retry it, confirm that it has arrived, or cancel it."
_ENABLE = "See that its endpoint answers, then enable it: `PATCH /webhooks/<id>` with `status` `enabled`."
