"""HTTP control API of the simulator: recorded messages and sessions, fault script, accounts.

It has no authentication: run it only on a developer's machine or in CI.
"""

from collections.abc import Iterator
from dataclasses import asdict
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from app.simulator.accounts import Account
from app.simulator.faults.fault import fault_to_json, parse_fault
from app.simulator.faults.script import ScriptedFault
from app.simulator.recorder import ReceivedMessage
from app.simulator.server import Simulator

_routes = APIRouter()


def control_api(simulator: Simulator) -> FastAPI:
    """Return the ASGI application. It must run in the event loop of the simulator."""
    app = FastAPI(title="Postern's Office 365 simulator")
    app.state.simulator = simulator
    app.include_router(_routes)
    return app


def _simulator(request: Request) -> Simulator:
    simulator: Simulator = request.app.state.simulator
    return simulator


Sim = Annotated[Simulator, Depends(_simulator)]


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
    return [_summary(message) for message in sim.messages if message.accepted or refused]


@_routes.get("/messages/{id}.eml")
async def download_message(sim: Sim, id: str) -> Response:
    """Return the content as received, without dot-stuffing."""
    return Response(_message(sim, id).content, media_type="message/rfc822")


@_routes.get("/messages/{id}")
async def show_message(sim: Sim, id: str) -> dict[str, Any]:
    """Return one message: envelope, header fields, decoded bodies."""
    message = _message(sim, id)
    parsed = _parsed(message)
    return _summary(message) | {
        "session": message.session,
        "turns": message.turns,
        "headers": [[name, str(value)] for name, value in parsed.items()],
        "text": _body(parsed, "plain"),
        "html": _body(parsed, "html"),
        "attachments": [part.get_filename() for part in parsed.iter_attachments()],
    }


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


def _message(sim: Simulator, id: str) -> ReceivedMessage:
    for message in sim.messages:
        if message.id == id:
            return message
    raise HTTPException(404, f"no message has the id {id}")


def _parsed(message: ReceivedMessage) -> EmailMessage:
    return message_from_bytes(message.content, EmailMessage, policy=default)


def _summary(message: ReceivedMessage) -> dict[str, Any]:
    parsed = _parsed(message)
    return {
        "id": message.id,
        "mailbox": message.mailbox,
        "from": str(parsed["from"] or ""),
        "to": str(parsed["to"] or ""),
        "subject": str(parsed["subject"] or ""),
        "at": message.at,
        "size": len(message.content),
        "mail_from": message.mail_from,
        "recipients": list(message.recipients),
        "accepted": message.accepted,
        "reply": message.reply,
    }


def _body(parsed: EmailMessage, kind: str) -> str | None:
    part = next(_parts(parsed, kind), None)
    return str(part.get_content()) if part is not None else None


def _parts(parsed: EmailMessage, kind: str) -> Iterator[EmailMessage]:
    for part in parsed.walk():
        if part.get_content_type() == f"text/{kind}" and not part.is_attachment():
            yield part


def _scripted(scripted: ScriptedFault) -> dict[str, Any]:
    return fault_to_json(scripted.fault) | {"reached": scripted.reached, "fired": scripted.fired}
