"""Counters and histograms as plain numbers, which prometheus_client reads at a scrape.

Its own kinds take a lock for each number and check their labels, 90 calls for the figures of one message. A series of
these classes may be changed by one thread alone.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class CounterSeries(Collector):
    """Counts by their label values. Without labels the only series is `()`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self.counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._described = name, documentation, labels
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter with all its series."""
        name, documentation, labels = self._described
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in [*self.counts.items()]:  # a copy, because another thread may add a series
            family.add_metric([*map(str, values)], count)
        yield family


@dataclass(slots=True)
class _Distribution:
    counts: list[int]  # by bucket, the last one without an upper bound
    sum: float = 0.0


class HistogramSeries(Collector):
    """Distributions by their label values. `bounds` are the upper bounds of the buckets, in order."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        bounds: Iterable[float],
        registry: CollectorRegistry,
    ) -> None:
        self._bounds = [float(bound) for bound in bounds]
        self._described = name, documentation, labels
        self._series: dict[tuple[str, ...], _Distribution] = {}
        if not labels:
            self.declare()
        registry.register(self)

    def declare(self, *labels: str) -> _Distribution:
        """Create a series without observations."""
        return self._series.setdefault(labels, _Distribution([0] * (len(self._bounds) + 1)))

    def observe(self, value: float, *labels: str) -> None:
        """Count a value in its bucket."""
        series = self._series.get(labels) or self.declare(*labels)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram with all its series."""
        name, documentation, labels = self._described
        family = HistogramMetricFamily(name, documentation, labels=labels)
        names = [*map(str, self._bounds), "+Inf"]
        for values, series in [*self._series.items()]:
            buckets = [*zip(names, map(float, accumulate(series.counts)), strict=True)]
            family.add_metric([*map(str, values)], buckets, series.sum)
        yield family
