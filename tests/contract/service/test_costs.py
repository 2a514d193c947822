"""Cost of one message while it is accepted, and while a queue is drained, over SQLite: counted, never timed, so a bound
holds on any machine.

Lower the bound of a figure that has fallen; `pytest -rP --show-capture=stdout` prints all of them. What is grouped
(commits, transfers between threads) depends on how the threads alternate, so those bounds leave more room.
"""

import asyncio
import gc
import json
import shutil
import sqlite3
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
import trustme
from sqlalchemy import Engine, event

from app import logs
from app.main import Postern
from tests.bench.processes import Process
from tests.bench.setup import Callers, Sink
from tests.harness import EMAIL, KEY, MAILBOX, settings_for
from tests.processes import served
from tests.waiting import until

MESSAGES = 256  # of each drain
ALONE = 32  # messages that are sent one after the other
AT_ONCE = 16  # callers while the queue is filled
HEADERS = {"authorization": f"Bearer {KEY}"}
BODY = json.dumps({**EMAIL, "text": "Twenty-five bytes a line\n" * 80}).encode()  # 2 KiB
WIDE = {"messages_per_minute": 1_000_000, "recipients_per_day": 1_000_000_000}  # limits of the mailbox

ACCEPTED_BOUNDS = {  # a message that is accepted alone, with room for what the process does every second
    "SQL statements": 7.5,
    "calls, event loop": 640,
    "calls, writer": 300,
    "objects in reference cycles": 0.5,
}
BOUNDS = {  # a message
    "SQL statements": 8.8,
    "commits": 1.1,
    "round trips": 2.0,
    "tasks": 1.1,
    "callbacks from other threads": 1.1,
    "queue puts to the writer": 1.6,
    "calls, event loop": 930,
    "calls, writer": 380,
    "bytes kept": 3_050,  # mostly the buffers of the three sessions; one of 64 KiB more or less is 256 a message
    "bytes at the peak": 7_000,
}
IDLE_BOUNDS = {  # a message that finds an empty queue and idle sessions
    "SQL statements": 22.5,
    "commits": 3.5,  # accepted and claimed; the mark of the dot; settled
}
PROCESS_BOUNDS = {  # a message, as the kernel counts
    "fsync and fdatasync": 1.2,
    "write calls": 24,
    "bytes written": 45_000,  # 28,000 to 40,000: with and without a checkpoint of SQLite
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """The benchmark's sink, a process of its own, so that nothing of it is counted."""

    sink: Sink
    authority: trustme.CA

    @property
    def port(self) -> int:
        """Port of SMTP."""
        return self.sink.port

    def write_ca(self, path: Path) -> None:
        """Write the certificate of its authority (PEM)."""
        self.authority.cert_pem.write_to_path(str(path))


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    """Running sink."""
    authority, chain = trustme.CA(), tmp_path / "sink.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
    with Process("the sink", [sys.executable, "-m", "tests.bench.programs.sink", str(chain)], {}) as process:
        yield Upstream(Sink(process), authority)


@contextmanager
def sql_counted(counted: Counter[str]) -> Iterator[None]:
    """Count commits, and the statements in them, on connections that are opened in the block."""

    def connected(connection: sqlite3.Connection, _: object) -> None:
        writing = False

        def started(statement: str) -> None:
            nonlocal writing
            if statement == "BEGIN IMMEDIATE":
                writing = True
            elif statement == "COMMIT":
                counted["commits"] += writing
                writing = False
            else:
                counted["SQL statements"] += writing

        connection.set_trace_callback(started)

    event.listen(Engine, "connect", connected)
    yield
    event.remove(Engine, "connect", connected)


@contextmanager
def loop_counted(counted: Counter[str]) -> Iterator[None]:
    """Count tasks and callbacks from other threads."""
    loop = asyncio.get_running_loop()
    callback: Any = loop.call_soon_threadsafe

    def create(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        counted["tasks"] += 1
        return asyncio.Task(work, loop=loop, **options)

    def call(*arguments: Any, **options: Any) -> Any:
        counted["callbacks from other threads"] += 1
        return callback(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", call)
        loop.set_task_factory(create)
        yield
        loop.set_task_factory(None)


class Calls:
    """Python and C calls of two threads while `counting`. Made before the threads, as a profile function is."""

    def __init__(self) -> None:
        self.counting = False
        self.counted: Counter[str] = Counter()

    def __call__(self, frame: FrameType, kind: str, argument: Any) -> None:
        if not self.counting or kind not in {"call", "c_call"}:
            return
        thread = "event loop" if threading.current_thread() is threading.main_thread() else "writer"
        self.counted[f"calls, {thread}"] += 1
        if kind == "c_call" and getattr(argument, "__qualname__", "") == "SimpleQueue.put":
            self.counted["queue puts to the writer"] += 1

    @contextmanager
    def active(self) -> Iterator[None]:
        """Count in the block."""
        self.counting = True
        sys.setprofile(self)
        yield
        sys.setprofile(None)
        self.counting = False


@contextmanager
def allocations(counted: Counter[str]) -> Iterator[None]:
    """Count the bytes that are allocated at the end, and at the peak."""
    gc.collect()
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted["bytes kept"], counted["bytes at the peak"] = used, peak


async def hold(caller: httpx.AsyncClient) -> None:
    """Hold the mailbox and wait until it is held."""
    assert (await caller.post(f"/mailboxes/{MAILBOX}/hold")).status_code == 200

    async def held() -> bool:
        return bool((await caller.get("/mailboxes")).json()["data"][0]["health"] == "held")

    await until(held)


async def fill(caller: httpx.AsyncClient) -> None:
    """Accept the messages while the mailbox is held."""

    async def post() -> None:
        for _ in range(MESSAGES // AT_ONCE):
            answer = await caller.post("/emails", content=BODY)
            assert answer.status_code == 200, answer.text

    await hold(caller)
    await asyncio.gather(*(post() for _ in range(AT_ONCE)))


async def drain(
    caller: httpx.AsyncClient, sink: Sink, settled: Callable[[], Coroutine[Any, Any, bool]]
) -> dict[str, Any]:
    """Release the mailbox and wait until every message has arrived and is settled; return the sink's figures."""
    sink.expect(MESSAGES)
    assert (await caller.post(f"/mailboxes/{MAILBOX}/release")).status_code == 200
    seen = await asyncio.to_thread(sink.seen)
    assert seen["count"] == MESSAGES
    await until(settled)
    return seen


@asynccontextmanager
async def service(upstream: Upstream, folder: Path) -> AsyncIterator[tuple[Postern, httpx.AsyncClient]]:
    """A Postern in this process, and a caller."""
    logs.configure(human=False)
    async with (
        Postern(settings_for(upstream, folder, **WIDE)) as postern,
        httpx.AsyncClient(base_url=postern.url, headers=HEADERS, timeout=60, trust_env=False) as caller,
    ):
        yield postern, caller


def check(counted: Mapping[str, float], bounds: Mapping[str, float], messages: int = MESSAGES) -> None:
    """Print every figure of one message beside its bound, then compare all of them."""
    each = {name: counted[name] / messages for name in bounds}
    for name, bound in bounds.items():
        print(f"{name:30} {each[name]:10,.2f} of {bound:,g}")
    assert not {name: each[name] for name, bound in bounds.items() if each[name] > bound}


async def test_an_accepted_message(upstream: Upstream, tmp_path: Path) -> None:
    """Statements and calls are bounded, and a request leaves nothing to the garbage collector."""
    sql, counted, calls = Counter[str](), Counter[str](), Calls()
    threading.setprofile(calls)
    with (
        sql_counted(sql),
        Process("the callers", [sys.executable, "-m", "tests.bench.programs.load"], {}) as process,
    ):
        async with service(upstream, tmp_path) as (postern, caller):
            threading.setprofile(None)
            await hold(caller)
            callers, port = Callers(process), int(postern.url.rpartition(":")[2])

            async def post() -> None:
                await asyncio.to_thread(callers.post, port, HEADERS, MESSAGES, clients=1)

            await post()  # prepares the statements
            sql.clear()
            await post()
            counted |= sql
            gc.collect()
            gc.disable()
            try:
                await post()
                counted["objects in reference cycles"] = gc.collect()
            finally:
                gc.enable()
            with calls.active():
                await post()
    check(counted | calls.counted, ACCEPTED_BOUNDS)


async def test_a_message_of_a_drain(upstream: Upstream, tmp_path: Path) -> None:
    """Statements, commits, round trips, tasks, transfers between threads, calls and memory are bounded."""
    sql, counted, calls = Counter[str](), Counter[str](), Calls()
    threading.setprofile(calls)
    with sql_counted(sql):
        async with service(upstream, tmp_path) as (postern, caller):
            threading.setprofile(None)

            async def settled() -> bool:
                backlog = await postern.store.backlog([pool.name for pool in postern.settings.pools], 0.0)
                return not sum(backlog.waiting.values())

            await fill(caller)
            await drain(caller, upstream.sink, settled)  # opens the sessions, prepares the statements
            await fill(caller)
            sql.clear()
            with loop_counted(counted):
                seen = await drain(caller, upstream.sink, settled)
            counted |= sql + Counter({"round trips": seen["turns"]})
            await fill(caller)
            with calls.active():
                await drain(caller, upstream.sink, settled)
            await fill(caller)
            with allocations(counted):
                await drain(caller, upstream.sink, settled)
    check(counted | calls.counted, BOUNDS)


async def test_a_message_of_an_idle_queue(upstream: Upstream, tmp_path: Path) -> None:
    """Statements and commits from the acceptance to the settlement are bounded."""
    sql = Counter[str]()
    with sql_counted(sql):
        async with service(upstream, tmp_path) as (_, caller):

            async def send() -> None:
                answer = await caller.post("/emails", content=BODY)
                path = f"/emails/{answer.json()['id']}"

                async def sent() -> bool:
                    return bool((await caller.get(path)).json()["last_event"] == "sent")

                await until(sent)

            await send()  # opens the session, prepares the statements
            sql.clear()
            for _ in range(ALONE):
                await send()
    check(sql, IDLE_BOUNDS, ALONE)


def written(pid: int) -> Counter[str]:
    """Write calls of a process and their bytes, to files, sockets and pipes (proc_pid_io(5))."""
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    facts = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return Counter({"write calls": facts["syscw"], "bytes written": facts["wchar"]})


@pytest.mark.skipif(
    not shutil.which("strace"), reason="counts system calls with strace (Debian: apt-get install strace)"
)
async def test_a_message_on_the_disk(upstream: Upstream, tmp_path: Path) -> None:
    """Waits for the disk, write calls and bytes written are bounded."""
    trace = tmp_path / "trace"
    tracer = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    limits = {f"POSTERN_{name.upper()}": str(value) for name, value in WIDE.items()}

    def syncs() -> int:
        return trace.read_text("ascii").count("sync(")

    async def run() -> Counter[str]:
        with served(upstream, tmp_path, tracer=tracer, **limits) as process:
            async with httpx.AsyncClient(base_url=process.url, headers=HEADERS, timeout=60, trust_env=False) as caller:

                async def settled() -> bool:
                    return not (await caller.get("/emails?last_event=queued&limit=1")).json()["data"]

                await fill(caller)
                await drain(caller, upstream.sink, settled)
                await fill(caller)
                before, synced = written(process.pid), syncs()
                await drain(caller, upstream.sink, settled)
                return written(process.pid) - before + Counter({"fsync and fdatasync": syncs() - synced})

    check(await run(), PROCESS_BOUNDS)
