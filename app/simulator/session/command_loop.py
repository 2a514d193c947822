"""Command loop of one SMTP session, from the greeting to the end of the connection.

Rule 1: replies are sent together when no further complete command is buffered (RFC 2920 §3.2).
Rule 2: a session ends with 421 after its idle timeout and at its maximum age.
Rule 3: the end of a connection ends its transaction and frees its sending slot.
"""

import asyncio

from app.simulator.faults.fault import Point
from app.simulator.protocol import replies
from app.simulator.protocol.arguments import CommandError
from app.simulator.protocol.connection import DisconnectedError, LineTooLongError
from app.simulator.session.commands import COMMANDS, unknown
from app.simulator.session.session import ServerSession


async def serve_connection(session: ServerSession) -> None:
    """Serve one connection until it ends."""
    try:
        await _greet(session)
        while True:
            await _handle_command(session)
    except DisconnectedError:
        pass
    except TimeoutError:
        session.write_reply(replies.CONNECTION_TIMED_OUT)
        await session.connection.drop()
    except LineTooLongError:
        session.write_reply(replies.LINE_TOO_LONG)
        await session.connection.drop()
    finally:
        session.end_transaction()
        session.record.turns = session.connection.turns
        session.record.closed_at = session.now


async def _greet(session: ServerSession) -> None:
    if await session.apply_faults(Point.CONNECT, session.banner()):
        return
    if not await session.apply_faults(Point.GREETING, session.banner()):
        await session.reply(session.banner())


async def _handle_command(session: ServerSession) -> None:
    if not session.connection.has_line:
        await session.connection.flush()
        session.record.turns = session.connection.turns
        if session.transaction is None and session.state.faults.at(Point.IDLE):
            await _apply_idle_faults(session)
    line_bytes = await session.connection.read_line()
    line = line_bytes.decode("utf-8", "surrogateescape")
    verb, _, argument = line.partition(" ")
    verb = verb.upper()
    session.record.commands.append(_masked(verb, argument) if verb == "AUTH" else line_bytes.decode("utf-8", "replace"))
    command = COMMANDS.get(verb)
    try:
        await (command(session, argument.rstrip()) if command else unknown(session, verb))
    except CommandError as error:
        await session.reply(str(error))


def _masked(verb: str, argument: str) -> str:
    mechanism, space, initial = argument.partition(" ")
    return f"{verb} {mechanism}{space}{'***' if initial else ''}"


async def _apply_idle_faults(session: ServerSession) -> None:
    """Apply each fault at IDLE when the client has sent nothing for the `after` seconds of the fault."""
    waited = 0.0
    for scripted in sorted(session.state.faults.at(Point.IDLE), key=lambda scripted: scripted.fault.after):
        within = (scripted.fault.after - waited) / session.state.clock.speed
        waited = scripted.fault.after
        if within > 0 and await _received_data(session, within):
            return
        if not session.connection.has_line and await session.apply_faults(
            Point.IDLE, replies.CONNECTION_TIMED_OUT, only=scripted
        ):
            await session.connection.flush()


async def _received_data(session: ServerSession, within: float) -> bool:
    started = asyncio.get_running_loop().time()
    try:
        await session.connection.wait_for_data(within)
    except TimeoutError:
        if asyncio.get_running_loop().time() - started < within:
            raise
        return False
    return True
