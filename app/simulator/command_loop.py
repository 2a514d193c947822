"""One connection from its greeting to its end: reads commands and hands them to their verbs.

Rule 1: replies to a batch of commands leave together, when no further whole command waits (RFC 2920 §3.2).
Rule 2: silence ends a session after its idle time, and age ends it whatever it does; both with 421.
Rule 3: however it ends, its transaction is over and its slot free.
"""

import asyncio

from app.simulator import replies
from app.simulator.commands import COMMANDS, unknown
from app.simulator.failure import ArgumentError, ConnectionLostError, LineTooLongError
from app.simulator.faults import Point
from app.simulator.session import Session


async def serve_connection(session: Session) -> None:
    """Serve one connection until it ends."""
    try:
        await _greet(session)
        while True:
            await _command(session)
    except ConnectionLostError:
        pass
    except TimeoutError:
        session.write_reply(replies.CONNECTION_TIMED_OUT)
        await session.connection.drop()
    except LineTooLongError:
        session.write_reply(replies.LINE_TOO_LONG)
        await session.connection.drop()
    finally:
        session.end()
        session.record.turns = session.connection.turns
        session.record.closed_at = session.now


async def _greet(session: Session) -> None:
    if await session.apply_faults(Point.CONNECT, session.banner()):
        return
    if not await session.apply_faults(Point.GREETING, session.banner()):
        await session.reply(session.banner())


async def _command(session: Session) -> None:
    if not session.connection.has_line:
        await session.connection.flush()
        session.record.turns = session.connection.turns
        if session.transaction is None and session.state.faults.at(Point.IDLE):
            await _idle(session)
    octets = await session.connection.read_line()
    line = octets.decode("utf-8", "surrogateescape")
    verb, _, argument = line.partition(" ")
    verb = verb.upper()
    session.record.commands.append(_masked(verb, argument) if verb == "AUTH" else octets.decode("utf-8", "replace"))
    carry_out = COMMANDS.get(verb)
    try:
        await (carry_out(session, argument.rstrip()) if carry_out else unknown(session, verb))
    except ArgumentError as refused:
        await session.reply(str(refused))


def _masked(verb: str, argument: str) -> str:
    mechanism, space, initial = argument.partition(" ")
    return f"{verb} {mechanism}{space}{'***' if initial else ''}"


async def _idle(session: Session) -> None:
    """Let the faults of this point strike if the client stays silent for as long as each of them wants."""
    waited = 0.0
    for armed in sorted(session.state.faults.at(Point.IDLE), key=lambda one: one.fault.after):
        within = (armed.fault.after - waited) / session.state.clock.speed
        waited = armed.fault.after
        if within > 0 and await _spoke(session, within):
            return
        if not session.connection.has_line and await session.apply_faults(
            Point.IDLE, replies.CONNECTION_TIMED_OUT, only=armed
        ):
            await session.connection.flush()


async def _spoke(session: Session, within: float) -> bool:
    started = asyncio.get_running_loop().time()
    try:
        await session.connection.wait_for_data(within)
    except TimeoutError:
        if asyncio.get_running_loop().time() - started < within:
            raise
        return False
    return True
