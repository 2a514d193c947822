"""Charts of a mailbox's sends against its limits, drawn as SVG by the server. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.mail.office365.limits import MailboxLimits
from app.store.read.records import SendHistory

WIDTH, HEIGHT = 240, 40  # user units
_TOP = 3  # space above the limit


@dataclass(frozen=True, slots=True)
class Chart:
    """Chart: bars or an area below a line, and the height of the limit. `text` says the same in words."""

    title: str
    text: str
    path: str  # data of an SVG path
    limit_y: float


def charts(history: SendHistory, limits: MailboxLimits) -> Sequence[Chart]:
    """Return the chart of the last hour by minute, and that of the last day by hour."""
    most = max(history.minutes)
    used = sum(history.hours)
    return [
        _chart(
            "Last hour",
            f"at most {most:,} of {limits.messages_per_minute:,} a minute",
            _bars(history.minutes, top := max(most, limits.messages_per_minute)),
            limits.messages_per_minute,
            top,
        ),
        _chart(
            "Last 24 hours",
            f"{used:,} of {limits.recipients_per_day:,} recipients",
            _area([*accumulate(history.hours)], top := max(used, limits.recipients_per_day)),
            limits.recipients_per_day,
            top,
        ),
    ]


def _chart(title: str, text: str, path: str, limit: int, top: int) -> Chart:
    return Chart(title, text, path, _y(limit, top))


def _bars(values: Sequence[int], top: int) -> str:
    step = WIDTH / len(values)
    bars = ((number * step, _y(value, top)) for number, value in enumerate(values) if value)
    return " ".join(f"M{x:.1f} {HEIGHT}V{y:.1f}h{step - 0.5:.1f}V{HEIGHT}z" for x, y in bars)


def _area(values: Sequence[int], top: int) -> str:
    step = WIDTH / (len(values) - 1)
    points = " ".join(f"L{number * step:.1f} {_y(value, top):.1f}" for number, value in enumerate(values))
    return f"M0 {HEIGHT}{points}V{HEIGHT}z"


def _y(value: int, top: int) -> float:
    """Return the height of a value; what is not 0 is visible."""
    return HEIGHT - max((HEIGHT - _TOP) * value / top, 1.0 if value else 0.0)
