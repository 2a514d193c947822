"""HTTP control API of the simulator: recorded messages and sessions, fault script, fates of recipients, accounts.

The inbox, for people, is at `/`. It has no authentication: run it only on a developer's machine or in CI.
"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, HTTPException, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from app.simulator.accounts import Account
from app.simulator.dependencies import Sim, message_of
from app.simulator.faults.fault import fault_to_json, parse_fault
from app.simulator.faults.script import ScriptedFault
from app.simulator.inbox import inbox
from app.simulator.message_view import details, summary
from app.simulator.server import Simulator
from app.simulator.trace import MessageTrace, fate_routes

_routes = APIRouter()


def control_api(simulator: Simulator, trace: MessageTrace | None = None) -> FastAPI:
    """Return the ASGI application. It must run in the event loop of the simulator.

    `trace` None: without Microsoft Graph, so that there are no fates.
    """
    app = FastAPI(title="Postern's Office 365 simulator")
    app.state.simulator, app.state.trace = simulator, trace
    app.include_router(_routes)
    app.include_router(fate_routes.routes)
    app.include_router(inbox)
    return app


class NewAccount(BaseModel):
    """Body of POST /accounts."""

    address: str
    password: str | None = None
    token: str | None = None
    send_as: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@_routes.get("/messages")
async def list_messages(
    sim: Sim,
    refused: bool = False,
    count: Annotated[int, Query(ge=0)] = 0,
    timeout: Annotated[float, Query(ge=0, le=600)] = 10,
) -> list[dict[str, Any]]:
    """List accepted messages, oldest first; with `refused` also refused ones.

    With `count`, wait for that many accepted messages. After `timeout` seconds the response is 504.
    """
    try:
        await sim.wait_for(count, timeout)
    except TimeoutError as error:
        raise HTTPException(504, str(error)) from None
    return [summary(message) for message in sim.messages if message.accepted or refused]


@_routes.get("/messages/{id}.eml")
async def download_message(sim: Sim, id: str) -> Response:
    """Return the content as received, without dot-stuffing."""
    return Response(message_of(sim, id).content, media_type="message/rfc822")


@_routes.get("/messages/{id}")
async def show_message(sim: Sim, id: str) -> dict[str, Any]:
    """Return one message: envelope, header fields, decoded bodies."""
    return details(message_of(sim, id))


@_routes.delete("/messages", status_code=204)
async def clear_records(sim: Sim) -> None:
    """Delete messages, closed sessions, logins, violations and the usage of limits. Faults remain."""
    sim.clear_records()


@_routes.get("/sessions")
async def list_sessions(sim: Sim) -> list[dict[str, Any]]:
    """List connections with their commands and replies."""
    return [asdict(session) for session in sim.sessions]


@_routes.get("/logins")
async def list_logins(sim: Sim) -> list[dict[str, Any]]:
    """List AUTH exchanges."""
    return [login._asdict() for login in sim.logins]


@_routes.get("/violations")
async def list_violations(sim: Sim) -> list[dict[str, Any]]:
    """List violations of limits."""
    return [violation._asdict() for violation in sim.violations]


@_routes.get("/faults")
async def list_faults(sim: Sim) -> list[dict[str, Any]]:
    """List the faults. `reached` counts how often the point was reached, `fired` how often the fault was applied."""
    return [_scripted(scripted) for scripted in sim.faults]


@_routes.post("/faults", status_code=201)
async def add_faults(
    sim: Sim, script: Annotated[dict[str, Any] | list[dict[str, Any]], Body()]
) -> list[dict[str, Any]]:
    """Add one fault, or a list of faults. An invalid fault adds none."""
    try:
        faults = [parse_fault(row) for row in (script if isinstance(script, list) else [script])]
    except (ValueError, TypeError) as error:
        raise HTTPException(422, str(error)) from None
    return [_scripted(sim.faults.add(fault)) for fault in faults]


@_routes.delete("/faults", status_code=204)
async def clear_faults(sim: Sim, name: str | None = None) -> None:
    """Remove all faults, or those with the name."""
    if name is None:
        sim.faults.clear()
    else:
        sim.faults.remove(name)


@_routes.get("/ca.pem", response_class=PlainTextResponse)
async def certificate_authority(sim: Sim) -> str:
    """Return the CA certificate in PEM."""
    return sim.ca_pem


@_routes.post("/accounts", status_code=201)
async def add_account(sim: Sim, account: NewAccount) -> dict[str, str]:
    """Add a mailbox; it replaces the one with the same address."""
    sim.accounts.add(Account(**account.model_dump()))
    return {"address": account.address}


def _scripted(scripted: ScriptedFault) -> dict[str, Any]:
    return fault_to_json(scripted.fault) | {"reached": scripted.reached, "fired": scripted.fired}
