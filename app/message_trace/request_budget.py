"""Budget of requests to the message trace, over all replicas: Microsoft allows 100 in 5 minutes for each call.

Requests are drawn from the store in small portions before they are sent, so that a replica that takes over knows those
of its predecessor. What a dead replica has drawn and not sent is lost for some minutes.
"""

from collections import deque
from collections.abc import Callable, Sequence

from app.clock import Clock
from app.message_trace.leased_reader import LostReaderError
from app.store.message_trace.records import Progress, Reader
from app.store.message_trace_store import TraceStore

LIMIT = 80  # requests in a window, lists and details together
VALID_SECONDS = 30.0  # for which a drawn request may be sent
WINDOW = 300.0 + VALID_SECONDS  # seconds
PORTION = 8  # requests drawn at once


class RequestBudget:
    """Requests of one tenant. `service_time` is Microsoft's clock, by which other replicas count them too."""

    def __init__(self, store: TraceStore, clock: Clock, service_time: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._service_time = service_time
        self._drawn: deque[tuple[float, int]] = deque()  # monotonic time and number
        self._portion = 0
        self._portion_until = 0.0

    def restore(self, requests: Sequence[tuple[float, int]]) -> None:
        """Count the stored requests of another reader, which are at times of Microsoft's clock."""
        now, moment = self._service_time(), self._clock.monotonic()
        ages = ((min(max(now - at, 0.0), WINDOW), number) for at, number in requests if now - at > -WINDOW)
        self._drawn = deque(sorted((moment - age, number) for age, number in ages if age < WINDOW))
        self._portion = 0

    @property
    def left(self) -> int:
        """Requests that can be sent without waiting."""
        self._remove_old()
        return max(0, LIMIT - sum(number for _, number in self._drawn)) + self._valid_portion

    async def take(self, reader: Reader) -> None:
        """Take one request; wait until the budget has one. Raises LostReaderError."""
        while not self._valid_portion:
            while (free := self.left) <= 0:
                await self._clock.sleep(self._drawn[0][0] + WINDOW - self._clock.monotonic() + 0.01)
            await self._draw(reader, min(PORTION, free))
        self._portion -= 1

    @property
    def _valid_portion(self) -> int:
        return self._portion if self._clock.monotonic() < self._portion_until else 0

    async def _draw(self, reader: Reader, number: int) -> None:
        moment = self._clock.monotonic()
        self._drawn.append((moment, number))
        ahead = self._service_time() - moment
        stored = [(at + ahead, count) for at, count in self._drawn]
        if not await self._store.advance(Progress(reader, requests=stored)):
            raise LostReaderError
        self._portion, self._portion_until = number, moment + VALID_SECONDS

    def _remove_old(self) -> None:
        oldest = self._clock.monotonic() - WINDOW
        while self._drawn and self._drawn[0][0] <= oldest:
            self._drawn.popleft()
