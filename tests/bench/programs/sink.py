"""SMTP server of the benchmark: accepts every message over STARTTLS and AUTH LOGIN, counts it and discards it.

It does as little as possible, so that it is never the bottleneck. Run as its own process; orders and answers are lines
of JSON. The order `{"order", "expect", "quiet", "delay", "arrivals"}` counts from zero and is answered when `expect`
messages have arrived, or none for `quiet` seconds: `{"order", "count", "last", "cpu", "turns", "arrivals"}`.
`last` is the monotonic time of the last message, `cpu` the CPU seconds of the sink, and `turns` the round trips between
login and QUIT: input that arrives while no reply is outstanding begins one. `delay` is a round-trip time in seconds:
replies are held back for so long. If `arrivals` is true, the time of each message is listed by the number after "#" in
its subject.
"""

import asyncio
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any, cast

import uvloop

_READ = 64 * 1024
_NUMBER = re.compile(rb"\r\nSubject: [^\r\n]*#(\d+)\r\n", re.IGNORECASE)  # of a message whose arrival is timed
_PIPELINED = 512  # bytes after a dot: Postfix sends QUIT with it
_DOT = b"\r\n.\r\n"
_GREETING = b"220 sink.example ESMTP\r\n"
_BEFORE_TLS = b"250-sink.example\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
_AFTER_TLS = b"250-sink.example\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH LOGIN\r\n"
_QUEUED = b"250 2.0.0 OK\r\n"
_USERNAME, _PASSWORD = b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"
_WELCOME = b"235 2.7.0 Welcome\r\n"
_REPLIES = {
    b"MAIL": b"250 2.1.0 Sender OK\r\n",
    b"RCPT": b"250 2.1.5 Recipient OK\r\n",
    b"DATA": b"354 Start mail input; end with <CRLF>.<CRLF>\r\n",
    b"RSET": b"250 2.0.0 Resetting\r\n",
    b"NOOP": b"250 2.0.0 OK\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Counter:
    """Messages and round trips since the last order, and the answer to it."""

    def __init__(self) -> None:
        self._count = 0
        self._expected = self._order = 0
        self._last = self._cpu = 0.0
        self._arrivals: dict[int, float] = {}
        self.delay = 0.0
        self.turns = 0
        self.timed = False  # the arrival of each message is recorded

    def order(self, order: Mapping[str, Any]) -> None:
        """Count from zero."""
        self._count, self._expected, self.turns = 0, order["expect"], 0
        self._order = order["order"]
        self._arrivals, self.timed, self.delay = {}, order["arrivals"], order["delay"]
        self._last, self._cpu = time.monotonic(), time.process_time()
        self._report_progress(self._order, order["quiet"])

    def arrived(self, number: int | None) -> None:
        """Record one message; `number` is the one in its subject, if arrivals are recorded."""
        if number is not None:
            self._arrivals[number] = time.monotonic()
        self._count += 1
        if self._count == self._expected:
            self._last = time.monotonic()
            self._answer()
        elif not self._count % 16:
            self._last = time.monotonic()

    def _report_progress(self, order: int, quiet: float) -> None:
        if not self._expected or order != self._order:
            return
        if time.monotonic() - self._last > quiet:
            self._answer()
        else:
            asyncio.get_running_loop().call_later(1.0, self._report_progress, order, quiet)

    def _answer(self) -> None:
        self._expected = 0
        answer = {
            "order": self._order,
            "count": self._count,
            "last": self._last,
            "cpu": time.process_time() - self._cpu,
            "turns": self.turns,
            "arrivals": self._arrivals,
        }
        print(json.dumps(answer), flush=True)


class Conversation(asyncio.BufferedProtocol):
    """One connection. Buffered, because for any other protocol TLS allocates 256 KiB for each read."""

    def __init__(self, counter: Counter, tls: ssl.SSLContext) -> None:
        self._counter = counter
        self._tls = tls
        self._buffer = bytearray(_READ)
        self._rest = b""
        self._end = b""  # the last bytes of the content; empty: commands are read
        self._prompts: list[bytes] = []  # what the steps of AUTH still get
        self._encrypted = self._logged_in = False
        self._upgrade: asyncio.Task[None] | None = None
        self._outstanding = 0  # replies that are held back
        self._number: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_GREETING)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return the buffer for received bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read content up to its dot, or commands."""
        if not self._end:
            self._commands(bytes(self._buffer[:nbytes]))
            return
        if self._counter.timed and (match := _NUMBER.search(self._buffer, 0, nbytes)):
            self._number = int(match[1])
        tail = self._end + self._buffer[max(0, nbytes - _PIPELINED) : nbytes]
        if (at := tail.find(_DOT)) < 0:
            self._end = tail[1 - len(_DOT) :]
            return
        self._end = b""
        self._reply(_QUEUED)
        self._counter.arrived(self._number)
        self._number = None
        if more := tail[at + len(_DOT) :]:
            self._commands(more)

    def _commands(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        if lines:
            self._logged_in = self._logged_in and lines[-1] != b"QUIT"
            self._reply(b"".join([self._answer(line) for line in lines]))
        if lines and lines[-1] == b"QUIT":
            asyncio.get_running_loop().call_later(self._counter.delay, self._transport.close)

    def _reply(self, data: bytes) -> None:
        """Write now, or after the round-trip time; a delay is not inserted into TLS or login."""
        self._counter.turns += self._logged_in and not self._outstanding
        self._logged_in = self._logged_in or data == _WELCOME
        if self._counter.delay and self._encrypted:
            self._outstanding += 1
            asyncio.get_running_loop().call_later(self._counter.delay, self._write_late, data)
        else:
            self._transport.write(data)

    def _write_late(self, data: bytes) -> None:
        self._outstanding -= 1
        self._transport.write(data)

    def _answer(self, line: bytes) -> bytes:
        if self._prompts:
            return self._prompts.pop()
        verb = line[:4].upper()
        if reply := _REPLIES.get(verb):
            if verb == b"DATA":
                self._end = b"\r\n"
            return reply
        match verb:
            case b"EHLO":
                return _AFTER_TLS if self._encrypted else _BEFORE_TLS
            case b"STAR":
                self._transport.pause_reading()  # the next bytes are for TLS
                self._upgrade = asyncio.create_task(self._encrypt())
                return b"220 2.0.0 Ready\r\n"
            case b"AUTH":
                self._prompts = [_WELCOME, _PASSWORD]
                return self._prompts.pop() if line.count(b" ") > 1 else _USERNAME
        return b"500 5.3.3 Unrecognized command\r\n"

    async def _encrypt(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            encrypted = await loop.start_tls(self._transport, self, self._tls, server_side=True)
        except OSError:  # the client left
            return
        if encrypted is not None:
            self._transport, self._encrypted = encrypted, True


async def main(chain: str) -> None:
    """Serve until standard input ends. The first line written has the port."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    loop, counter, ended = asyncio.get_running_loop(), Counter(), asyncio.Event()
    server = await loop.create_server(lambda: Conversation(counter, tls), "127.0.0.1", 0, backlog=4096)

    def ordered() -> None:
        if not (data := os.read(0, _READ)):
            ended.set()
        for line in data.splitlines():
            order: dict[str, Any] = json.loads(line)
            counter.order(order)

    loop.add_reader(0, ordered)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
