"""Routes of the control API for the fates of recipients: what the message trace and the reports say became of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from app.simulator.trace.fates import Fate, Step
from app.simulator.trace.tenant_trace import TenantTrace

routes = APIRouter()


class FateStep(BaseModel):
    """Status from `after` seconds after the reception of the message; `code` and `text` are those of a failure."""

    model_config = ConfigDict(extra="forbid")

    status: str = Field(min_length=1, max_length=100)
    after: float = Field(default=0.0, ge=0)
    code: str = Field(default="", pattern=r"^([245]\.\d{1,3}\.\d{1,3})?$")
    text: str = Field(default="", max_length=500, pattern=r"^[^\r\n]*$")


class RecipientFate(BaseModel):
    """Fate of an address. Without steps the message has no row for it."""

    model_config = ConfigDict(extra="forbid")

    recipient: str = Field(min_length=3, pattern=r"^[^@\s]+@[^@\s]+$")
    steps: tuple[FateStep, ...]


def _trace(request: Request) -> TenantTrace:
    trace: TenantTrace | None = request.app.state.trace
    if trace is None:
        raise HTTPException(404, "Microsoft Graph is not simulated here. Start `postern simulate --graph`.")
    return trace


Trace = Annotated[TenantTrace, Depends(_trace)]


@routes.get("/fates")
async def list_fates(trace: Trace) -> list[RecipientFate]:
    """List the fates that were set. Other recipients have the one of their address."""
    return [_shown(recipient, fate) for recipient, fate in trace.fates.items()]


@routes.post("/fates", status_code=201)
async def set_fates(trace: Trace, fates: RecipientFate | list[RecipientFate]) -> list[RecipientFate]:
    """Set what becomes of a recipient, or of several; an earlier fate of the same address is replaced.

    It also holds for messages that were received before.
    """
    given = fates if isinstance(fates, list) else [fates]
    for fate in given:
        steps = sorted(fate.steps, key=lambda step: step.after)
        trace.fates[fate.recipient.lower()] = tuple(Step(**step.model_dump()) for step in steps)
    return [_shown(fate.recipient.lower(), trace.fates[fate.recipient.lower()]) for fate in given]


@routes.delete("/fates", status_code=204)
async def clear_fates(trace: Trace, recipient: str | None = None) -> None:
    """Remove all fates that were set, or that of the recipient."""
    if recipient is None:
        trace.fates.clear()
    else:
        trace.fates.pop(recipient.lower(), None)


def _shown(recipient: str, fate: Fate) -> RecipientFate:
    return RecipientFate(recipient=recipient, steps=tuple(FateStep(**step._asdict()) for step in fate))
