"""Dependencies of the control API's requests: the simulator, and a message by its id."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from app.simulator.recorder import ReceivedMessage
from app.simulator.server import Simulator


def _simulator(request: Request) -> Simulator:
    simulator: Simulator = request.app.state.simulator
    return simulator


Sim = Annotated[Simulator, Depends(_simulator)]


def message_of(sim: Sim, id: str) -> ReceivedMessage:
    """Return the message with this id. Raises HTTPException 404."""
    for message in sim.messages:
        if message.id == id:
            return message
    raise HTTPException(404, f"no message has the id {id}")
