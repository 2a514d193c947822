"""Unfinished emails by pool and lane."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Literal

from app.mail.message.message import Lane
from app.store.read.records import Backlog, Waiting

_STATES: tuple[Literal["ready", "resting", "active", "held"], ...] = ("ready", "resting", "active", "held")


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


def lane_views(backlog: Backlog, pools: Iterable[str], now: float) -> list[LaneView]:
    """Return the lanes that are not empty."""
    views = []
    for pool, lane in product(dict.fromkeys(pools), Lane):
        counts = {state: backlog.waiting.get(Waiting(pool, lane, state), 0) for state in _STATES}
        since = backlog.oldest.get((pool, lane))
        if any(counts.values()):
            views.append(LaneView(pool, lane, **counts, oldest=None if since is None else max(0.0, now - since)))
    return views
