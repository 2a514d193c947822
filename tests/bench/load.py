"""Many callers at once: posts one request over and over on connections that stay open, as fast as they are answered.

Run as a process of its own; each order is a line of JSON, answered by one. It does next to nothing per request, so
that the service under test has the machine.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import uvloop


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one order. Times are monotonic seconds, of one clock over all processes."""

    began: float
    ended: float
    accepted: int
    refused: int
    p50: float  # seconds from request to answer
    p99: float


class Run:
    """The requests of one order, shared by its callers."""

    def __init__(self, request: bytes, count: int) -> None:
        self.request = request
        self.done = asyncio.Event()
        self._left = self._unanswered = count
        self._accepted = 0
        self._waits: list[float] = []

    def next(self) -> bool:
        """True if one more is to be posted."""
        self._left -= 1
        return self._left >= 0

    def answered(self, *, accepted: bool, wait: float) -> None:
        """One answer has come."""
        self._accepted += accepted
        self._waits.append(wait)
        self._unanswered -= 1
        if not self._unanswered:
            self.done.set()

    def result(self, began: float) -> Result:
        """All that was seen until now."""
        waits = sorted(self._waits) or [0.0]
        at = [waits[int(len(waits) * share)] for share in (0.5, 0.99)]
        return Result(began, time.monotonic(), self._accepted, len(self._waits) - self._accepted, *at)


class Caller(asyncio.Protocol):
    """One connection: posts the next request when the answer to the last one is whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._data = b""
        self._posted = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait to be started, so that all begin together."""
        self._transport = cast("asyncio.Transport", transport)

    def post(self) -> None:
        """Post the next one, if there is one."""
        if self._run.next():
            self._posted = time.monotonic()
            self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        """Go on when the answer is whole."""
        self._data = self._data + data if self._data else data
        head = self._data.find(b"\r\n\r\n")
        if head < 0 or len(self._data) < head + 4 + _length(self._data[:head]):
            return
        accepted, self._data = self._data[9:10] == b"2", b""
        self._run.answered(accepted=accepted, wait=time.monotonic() - self._posted)
        self.post()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its request stays unanswered: the order runs out of time, and says how many were answered."""

    def close(self) -> None:
        """Done."""
        self._transport.close()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 : at + 30].split(b"\r", 1)[0]) if at >= 0 else 0


def request(port: int, path: str, headers: dict[str, str], body: str) -> bytes:
    """The octets of one POST."""
    content = body.encode()
    fields = {"host": f"127.0.0.1:{port}", "content-type": "application/json", "content-length": str(len(content))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (fields | headers).items()), "", ""]
    return "\r\n".join(lines).encode() + content


async def post(order: dict[str, Any]) -> Result:
    """Carry out one order: port, path, headers, body, count, clients, seconds (at most)."""
    loop = asyncio.get_running_loop()
    run = Run(request(order["port"], order["path"], order["headers"], order["body"]), order["count"])
    pairs = [
        await loop.create_connection(lambda: Caller(run), "127.0.0.1", order["port"]) for _ in range(order["clients"])
    ]
    began = time.monotonic()
    for _, caller in pairs:
        caller.post()
    try:
        async with asyncio.timeout(order["seconds"]):
            await run.done.wait()
    except TimeoutError:
        pass
    result = run.result(began)
    for _, caller in pairs:
        caller.close()
    return result


if __name__ == "__main__":
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(uvloop.run(post(json.loads(line))))), flush=True)
