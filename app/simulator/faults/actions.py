"""Actions of faults: each does one thing to the connection of the client.

`apply` returns True if the action replaces the command and its reply, False if the command continues.
"""

import asyncio
import os
import signal as signals
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic.dataclasses import dataclass as validated

from app.clock import Clock
from app.simulator.protocol.connection import SmtpConnection
from app.simulator.protocol.replies import encode
from app.simulator.recorder import RecordedSession

ENDLESS_CHUNK_BYTES = 16 * 1024

# In JSON and TOML, bytes are a string of the characters U+0000 to U+00FF.
Bytes = Annotated[
    bytes,
    BeforeValidator(lambda value: value.encode("latin-1") if isinstance(value, str) else value),
    PlainSerializer(lambda value: value.decode("latin-1"), return_type=str),
]


@dataclass(frozen=True, slots=True)
class FaultContext:
    """Session state at the point of a fault. `usual` is the reply without the fault."""

    connection: SmtpConnection = field(repr=False)
    clock: Clock = field(repr=False)
    session: RecordedSession
    point: str
    usual: str
    is_command: bool  # the command at this point is not handled yet
    mailbox: str
    sender: str
    recipients: tuple[str, ...]
    write_reply: Callable[[str], None] = field(repr=False)  # write and record a reply
    replace_reply: Callable[[str], None] = field(repr=False)  # replace the next positive reply


@validated(frozen=True, slots=True)
class Say:
    """Reply with `text` (code included, lines joined by LF).

    If `text` has the first digit of the usual positive reply, the command is executed and only its reply differs.
    """

    text: str = Field(pattern=r"^[2-5][0-9][0-9][ -]")
    close: bool = False
    action: Literal["say"] = "say"

    async def apply(self, context: FaultContext) -> bool:
        """Replace the usual reply."""
        if context.is_command and self.text[0] in "23" and self.text[0] == context.usual[0] and not self.close:
            context.replace_reply(self.text)
            return False
        context.write_reply(self.text)
        if self.close:
            await context.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Delay:
    """Wait `seconds` of the simulator's clock, then continue, even if the client has disconnected."""

    seconds: float = Field(ge=0)
    action: Literal["delay"] = "delay"

    async def apply(self, context: FaultContext) -> bool:
        """Wait."""
        await context.connection.flush()
        await context.clock.sleep(self.seconds)
        return False


@validated(frozen=True, slots=True)
class Drop:
    """Close with FIN, without a reply and without a TLS shutdown."""

    action: Literal["drop"] = "drop"

    async def apply(self, context: FaultContext) -> bool:
        """Close."""
        await context.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Reset:
    """Close with RST."""

    action: Literal["reset"] = "reset"

    async def apply(self, context: FaultContext) -> bool:
        """Reset. Buffered replies are lost."""
        context.connection.reset()
        return True


@validated(frozen=True, slots=True)
class Half:
    """Write only the first `octets` bytes of the usual reply, then close with FIN."""

    octets: int = Field(ge=0)
    action: Literal["half"] = "half"

    async def apply(self, context: FaultContext) -> bool:
        """Write the first bytes of the reply, then close."""
        context.connection.write(encode(context.usual)[: self.octets])
        await context.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Silence:
    """Keep the connection open without replies, and discard all input."""

    action: Literal["silence"] = "silence"

    async def apply(self, context: FaultContext) -> bool:
        """Wait until the client closes the connection."""
        await context.connection.flush()
        context.connection.discard_input()
        await asyncio.shield(context.connection.closed)
        return True


@validated(frozen=True, slots=True)
class Garbage:
    """Write `data` instead of the reply."""

    data: Bytes
    action: Literal["garbage"] = "garbage"

    async def apply(self, context: FaultContext) -> bool:
        """Write the bytes unchanged."""
        context.connection.write(self.data)
        return True


@validated(frozen=True, slots=True)
class LongLine:
    """Reply with one line of `octets` bytes, CRLF not included (RFC 5321 §4.5.3.1.5 allows 510)."""

    octets: int = Field(default=10_000, ge=4)
    action: Literal["long_line"] = "long_line"

    async def apply(self, context: FaultContext) -> bool:
        """Write the line, with the code of the usual reply."""
        context.connection.write(f"{context.usual[:3]} ".encode().ljust(self.octets, b"x") + b"\r\n")
        return True


@validated(frozen=True, slots=True)
class Endless:
    """Write continuation lines without a last one, up to `octets` bytes; then close with FIN."""

    octets: int = Field(default=16 * 1024 * 1024, ge=1)
    action: Literal["endless"] = "endless"

    async def apply(self, context: FaultContext) -> bool:
        """Write as fast as the client reads."""
        line = f"{context.usual[:3]}-and there is more\r\n".encode()
        chunk = line * (ENDLESS_CHUNK_BYTES // len(line))
        written = 0
        while written < self.octets and not context.connection.closed.done():
            context.connection.write(chunk[: self.octets - written])
            written += len(chunk)
            await context.connection.flush()
        await context.connection.drop()
        return True


@validated(frozen=True, slots=True)
class SlowRead:
    """Read `octets` bytes per second of the clock from now on; with 0 the client's writes block."""

    octets: float = Field(ge=0)
    action: Literal["slow_read"] = "slow_read"

    async def apply(self, context: FaultContext) -> bool:
        """Limit the rate for the rest of the connection."""
        context.connection.limit_read_rate(self.octets * context.clock.speed)
        return False


@validated(frozen=True, slots=True)
class SlowWrite:
    """Write replies byte by byte from now on, `octets` bytes per second of the clock."""

    octets: float = Field(gt=0)
    action: Literal["slow_write"] = "slow_write"

    async def apply(self, context: FaultContext) -> bool:
        """Limit the rate for the rest of the connection."""
        context.connection.write_rate = self.octets * context.clock.speed
        return False


@validated(frozen=True, slots=True)
class Kill:
    """Send a signal to a process, then continue. Add a Drop at the same point to lose the reply too."""

    pid: int = Field(gt=0)  # 0 and negative numbers are process groups
    signal: int = int(signals.SIGKILL)
    action: Literal["kill"] = "kill"

    async def apply(self, context: FaultContext) -> bool:
        """Send the signal."""
        os.kill(self.pid, self.signal)
        return False


@validated(frozen=True, slots=True)
class Call:
    """Await `function(context)` in this process, then continue. Not available in files."""

    function: Callable[[FaultContext], Awaitable[Any]] = Field(exclude=True)
    action: Literal["call"] = "call"

    async def apply(self, context: FaultContext) -> bool:
        """Call the function."""
        await context.connection.flush()
        await self.function(context)
        return False


FaultAction = Annotated[
    Say | Delay | Drop | Reset | Half | Silence | Garbage | LongLine | Endless | SlowRead | SlowWrite | Kill | Call,
    Field(discriminator="action"),
]
