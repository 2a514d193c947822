"""Process of `postern serve`: its log, its traces, its garbage collector, and the signals that stop it."""

import asyncio
import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager

from app import logs, tracing
from app.clock import Clock
from app.main.postern import Postern
from app.relay.coordinator import HeartbeatConfig
from app.settings import Settings
from app.settings.tracing import traces_wanted

COLLECT_AFTER = 20_000  # new objects between two runs of the garbage collector; Python's default is 700


async def serve(settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    stop = stop_signal()
    with traced(os.environ):
        await _serve(settings, clock, heartbeat, stop)
    logs.stopped()


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@contextmanager
def traced(environment: Mapping[str, str]) -> Iterator[None]:
    """Export spans if OpenTelemetry's environment variables request it. Raises SettingsError."""
    if not traces_wanted(environment):
        yield
        return
    spans = importlib.import_module(
        "app.tracing.otel"
    ).OtelSpanRecorder.exported()  # by name, because it cannot be imported without the extra
    tracing.set_recorder(spans)
    try:
        yield
    finally:
        tracing.set_recorder(None)
        spans.close()


async def _serve(
    settings: Settings, clock: Clock | None, heartbeat: HeartbeatConfig | None, stop: asyncio.Event
) -> None:
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(Postern(settings, clock, heartbeat)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _log_started(await starting)
            _tune_garbage_collector()
            await stopping
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _log_started(postern: Postern) -> None:
    settings = postern.settings
    mailboxes = [mailbox for pool in settings.pools for mailbox in pool.mailboxes]
    upstreams = sorted({f"{mailbox.smtp_host}:{mailbox.smtp_port}" for mailbox in mailboxes})
    logs.started(
        url=postern.url,
        role=settings.role,
        mailboxes=len(mailboxes),
        mailbox=mailboxes[0].mailbox,
        upstream=", ".join(upstreams),
    )


def _tune_garbage_collector() -> None:
    """Exclude all that the start has created from garbage collection, and collect less often: 5 % of the CPU time of a
    message was spent in the collector, which found nothing, because reference counts free what a message leaves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def configure_logs(settings: Settings) -> None:
    """Configure the log; the format `auto` is `human` if standard error is a terminal, else JSON."""
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    own = frozenset(mailbox.mailbox for pool in settings.pools for mailbox in pool.mailboxes)
    logs.configure(human=human, level=settings.log_level, shown=own if settings.log_addresses == "masked" else None)
