"""What a fault can do to a connection. When it strikes is faults.py's; what is normal is session.py's.

An action returns True if it stands in the place of what would have been done and answered, False if all goes on.
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
from app.simulator.connection import SmtpConnection
from app.simulator.recorder import RecordedSession
from app.simulator.replies import encode

CHUNK = 16 * 1024

# In files a fault's octets are a string of the characters U+0000 to U+00FF.
Octets = Annotated[
    bytes,
    BeforeValidator(lambda value: value.encode("latin-1") if isinstance(value, str) else value),
    PlainSerializer(lambda value: value.decode("latin-1"), return_type=str),
]


@dataclass(frozen=True, slots=True)
class FaultContext:
    """Where a fault struck. `usual` is the reply that would be given here if all were well."""

    connection: SmtpConnection = field(repr=False)
    clock: Clock = field(repr=False)
    session: RecordedSession
    point: str
    usual: str
    is_command: bool  # something is about to be carried out, and answered
    mailbox: str
    sender: str
    recipients: tuple[str, ...]
    write_reply: Callable[[str], None] = field(repr=False)  # a reply that is recorded
    override_reply: Callable[[str], None] = field(repr=False)  # what the next positive reply is to be


@validated(frozen=True, slots=True)
class Say:
    """Answer `text` (code included, lines joined by LF).

    A command is carried out if `text` is of the usual class (2yz, 354): then only the words differ. Else it is not.
    """

    text: str = Field(pattern=r"^[2-5][0-9][0-9][ -]")
    close: bool = False
    action: Literal["say"] = "say"

    async def apply(self, moment: FaultContext) -> bool:
        """Say it in the place of the usual reply."""
        if moment.is_command and self.text[0] in "23" and self.text[0] == moment.usual[0] and not self.close:
            moment.override_reply(self.text)
            return False
        moment.write_reply(self.text)
        if self.close:
            await moment.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Delay:
    """Wait so many seconds of the clock, then go on as if nothing had been, even if the client has left."""

    seconds: float = Field(ge=0)
    action: Literal["delay"] = "delay"

    async def apply(self, moment: FaultContext) -> bool:
        """Wait."""
        await moment.connection.flush()
        await moment.clock.sleep(self.seconds)
        return False


@validated(frozen=True, slots=True)
class Drop:
    """Close with FIN, without a word and without a TLS shutdown."""

    action: Literal["drop"] = "drop"

    async def apply(self, moment: FaultContext) -> bool:
        """Close."""
        await moment.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Reset:
    """Close with RST."""

    action: Literal["reset"] = "reset"

    async def apply(self, moment: FaultContext) -> bool:
        """Reset; replies not yet written are lost."""
        moment.connection.reset()
        return True


@validated(frozen=True, slots=True)
class Half:
    """Write only the first octets of the usual reply, then close with FIN."""

    octets: int = Field(ge=0)
    action: Literal["half"] = "half"

    async def apply(self, moment: FaultContext) -> bool:
        """Write a part, then close."""
        moment.connection.write(encode(moment.usual)[: self.octets])
        await moment.connection.drop()
        return True


@validated(frozen=True, slots=True)
class Silence:
    """Never answer again, keep the connection open, and forget whatever comes."""

    action: Literal["silence"] = "silence"

    async def apply(self, moment: FaultContext) -> bool:
        """Wait until the client has had enough."""
        await moment.connection.flush()
        moment.connection.discard_input()
        await asyncio.shield(moment.connection.closed)
        return True


@validated(frozen=True, slots=True)
class Garbage:
    """Write these octets in the place of the reply."""

    data: Octets
    action: Literal["garbage"] = "garbage"

    async def apply(self, moment: FaultContext) -> bool:
        """Write them as they are."""
        moment.connection.write(self.data)
        return True


@validated(frozen=True, slots=True)
class LongLine:
    """One reply line of so many octets, CRLF not counted (RFC 5321 §4.5.3.1.5 allows 510)."""

    octets: int = Field(default=10_000, ge=4)
    action: Literal["long_line"] = "long_line"

    async def apply(self, moment: FaultContext) -> bool:
        """Write it with the code of the usual reply."""
        moment.connection.write(f"{moment.usual[:3]} ".encode().ljust(self.octets, b"x") + b"\r\n")
        return True


@validated(frozen=True, slots=True)
class Endless:
    """Continuation lines without a last one, until `octets` were written; then close with FIN."""

    octets: int = Field(default=16 * 1024 * 1024, ge=1)
    action: Literal["endless"] = "endless"

    async def apply(self, moment: FaultContext) -> bool:
        """Write on, as fast as the client reads."""
        line = f"{moment.usual[:3]}-and there is more\r\n".encode()
        chunk = line * (CHUNK // len(line))
        written = 0
        while written < self.octets and not moment.connection.closed.done():
            moment.connection.write(chunk[: self.octets - written])
            written += len(chunk)
            await moment.connection.flush()
        await moment.connection.drop()
        return True


@validated(frozen=True, slots=True)
class SlowRead:
    """From here on read so many octets a second of the clock; with 0 nothing more: the client's writes block."""

    octets: float = Field(ge=0)
    action: Literal["slow_read"] = "slow_read"

    async def apply(self, moment: FaultContext) -> bool:
        """Set the pace. It holds for the rest of the connection."""
        moment.connection.limit_read_rate(self.octets * moment.clock.speed)
        return False


@validated(frozen=True, slots=True)
class SlowWrite:
    """From here on write replies octet by octet, so many a second of the clock."""

    octets: float = Field(gt=0)
    action: Literal["slow_write"] = "slow_write"

    async def apply(self, moment: FaultContext) -> bool:
        """Set the pace. It holds for the rest of the connection."""
        moment.connection.write_rate = self.octets * moment.clock.speed
        return False


@validated(frozen=True, slots=True)
class Kill:
    """Send a process a signal, then go on. To lose the message as well, add a Drop at the same point after it."""

    pid: int = Field(gt=0)  # 0 and negative numbers are groups of processes
    signal: int = int(signals.SIGKILL)
    action: Literal["kill"] = "kill"

    async def apply(self, moment: FaultContext) -> bool:
        """Send it."""
        os.kill(self.pid, self.signal)
        return False


@validated(frozen=True, slots=True)
class Call:
    """Await `function(moment)` in this process, then go on. Cannot be loaded from a file."""

    function: Callable[[FaultContext], Awaitable[Any]] = Field(exclude=True)
    action: Literal["call"] = "call"

    async def apply(self, moment: FaultContext) -> bool:
        """Call it."""
        await moment.connection.flush()
        await self.function(moment)
        return False


Action = Annotated[
    Say | Delay | Drop | Reset | Half | Silence | Garbage | LongLine | Endless | SlowRead | SlowWrite | Kill | Call,
    Field(discriminator="action"),
]
