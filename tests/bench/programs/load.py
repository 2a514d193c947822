"""HTTP callers: post one request again and again on connections that stay open.

Run as its own process; each order is a line of JSON and is answered by one. Without `rate` each connection posts its
next request when the last one is answered (closed loop). With `rate`, requests start at that many a second, whether
earlier ones are answered or not (open loop), and the answer lists when each of them was due to start. With `retry` a
refused request is posted again after 0.1 s, and the answer says how often one was refused.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

_RETRY_DELAY = 0.1  # seconds
NUMBER = b"#0000000"  # in a body: replaced by the number of the request


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one order. Times are monotonic seconds, of one clock over all processes."""

    began: float
    ended: float
    accepted: int
    refused: int
    p50: float  # seconds from request to answer
    p99: float
    started: list[float] = field(default_factory=list)  # by number, with `rate`


class Run:
    """Requests of one order, shared by its callers."""

    def __init__(self, request: bytes, order: Mapping[str, Any]) -> None:
        self.done = asyncio.Event()
        self._head, self._number, self._tail = request.partition(NUMBER)
        self._count: int = order["count"]
        self.port: int = order["port"]
        self._again: deque[bytes] = deque()
        self._issued = 0
        self._answered = 0
        self._accepted = 0
        self._waits: list[float] = []
        self.retry: bool = order["retry"]
        self.refusals = 0

    def next(self) -> bytes | None:
        """Return the next request; None: all have been issued."""
        if self._again:
            return self._again.popleft()
        if self._issued == self._count:
            return None
        self._issued += 1
        number = b"#%07d" % (self._issued - 1) if self._number else b""
        return self._head + number + self._tail

    def answered(self, *, accepted: bool, wait: float) -> None:
        """Record one answer."""
        self._accepted += accepted
        self._waits.append(wait)
        self._answered += 1
        if self._answered == self._count:
            self.done.set()

    def refused(self, request: bytes) -> None:
        """Record a refusal of a request that is posted again."""
        self.refusals += 1
        self._again.append(request)

    def result(self, began: float, started: list[float]) -> Result:
        """All that was answered until now."""
        waits = sorted(self._waits) or [0.0]
        p50, p99 = (waits[int(len(waits) * share)] for share in (0.5, 0.99))
        refused = self.refusals or len(self._waits) - self._accepted
        return Result(began, time.monotonic(), self._accepted, refused, p50, p99, started)


class Caller(asyncio.Protocol):
    """One connection. `idle` gets it when it has been answered and has nothing to post; None: it posts the next."""

    def __init__(self, run: Run, idle: "deque[Caller] | None") -> None:
        self._run = run
        self._idle = idle
        self._data = b""
        self._began = 0.0
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait to be started, so that all begin together."""
        self._transport = cast("asyncio.Transport", transport)
        if self._idle is not None:
            self._idle.append(self)

    def post(self, began: float | None = None) -> None:
        """Post the next request, if there is one; its wait counts from `began`."""
        if request := self._run.next():
            self._began = began or time.monotonic()
            self._request = request
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Go on when the answer is complete."""
        self._data = self._data + data if self._data else data
        head = self._data.find(b"\r\n\r\n")
        if head < 0 or len(self._data) < head + 4 + _length(self._data[:head]):
            return
        accepted, self._data = self._data[9:10] == b"2", b""
        if self._run.retry and not accepted:
            self._run.refused(self._request)
            self._transport.close()  # a refusal may close the connection, too
            self._reconnecting = asyncio.create_task(self._reconnect())
            return
        self._run.answered(accepted=accepted, wait=time.monotonic() - self._began)
        if self._idle is None:
            self.post()
        else:
            self._idle.append(self)

    async def _reconnect(self) -> None:
        await asyncio.sleep(_RETRY_DELAY)
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._run.port)
        self.post()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 : at + 30].split(b"\r", 1)[0]) if at >= 0 else 0


def request(order: dict[str, Any]) -> bytes:
    """Bytes of one POST."""
    content: bytes = order["body"].encode()
    host = f"127.0.0.1:{order['port']}"
    fields = {"host": host, "content-type": "application/json", "content-length": str(len(content))}
    lines = [f"{name}: {value}" for name, value in (fields | order["headers"]).items()]
    return "\r\n".join([f"POST {order['path']} HTTP/1.1", *lines, "", ""]).encode() + content


async def _paced(idle: "deque[Caller]", count: int, rate: float) -> list[float]:
    """Start the requests on time; one that finds no idle connection starts late, and its wait counts from its time."""
    began = time.monotonic()
    times = [began + number / rate for number in range(count)]
    for due in times:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        while not idle:
            await asyncio.sleep(0.0005)
        idle.popleft().post(due)
    return times


async def post(order: dict[str, Any]) -> Result:
    """Carry out one order: port, path, headers, body, count, clients, seconds (at most), rate (or None), retry."""
    loop, rate = asyncio.get_running_loop(), order["rate"]
    run = Run(request(order), order)
    idle = deque[Caller]() if rate else None
    pairs = [
        await loop.create_connection(lambda: Caller(run, idle), "127.0.0.1", order["port"])
        for _ in range(order["clients"])
    ]
    began, started = time.monotonic(), list[float]()
    try:
        async with asyncio.timeout(order["seconds"]):
            if idle is not None:
                started = await _paced(idle, order["count"], rate)
            else:
                for _, caller in pairs:
                    caller.post()
            await run.done.wait()
    except TimeoutError:
        pass  # the result says how many were answered
    result = run.result(began, started)
    for _, caller in pairs:
        caller.close()
    return result


if __name__ == "__main__":
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(uvloop.run(post(json.loads(line))))), flush=True)
