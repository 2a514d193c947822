"""`postern simulate`."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from app import logs
from app.cli.exits import Exit, end, run
from app.cli.output import console
from app.clock import Clock
from app.simulator import Account, Door, Simulator
from app.simulator import load as load_faults
from app.simulator.run import run as run_simulator

MADE_UP = "made-up-password"


def simulate(
    mailbox: Annotated[str, typer.Option(help="The mailbox that may log in.")] = "noreply@contoso.com",
    password: Annotated[str, typer.Option(help="Its password. Not a secret: it is for tests.")] = MADE_UP,
    password_file: Annotated[Path | None, typer.Option(help="A file with its password instead.")] = None,
    send_as: Annotated[list[str] | None, typer.Option(help="Senders it has Send As on, as patterns.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="SMTP port; 0 takes a free one.")] = 5870,
    control_port: Annotated[int, typer.Option(help="Port of the HTTP control; 0 takes a free one.")] = 8026,
    name: Annotated[list[str] | None, typer.Option(help="Further host names for its certificate.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Write its CA's certificate to this file.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write every accepted message there as .eml.")] = None,
    faults: Annotated[Path | None, typer.Option(help="A fault script (TOML or JSON).")] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many messages to remember.")] = 1000,
    speed: Annotated[float, typer.Option(min=0.001, help="How fast its clock runs.")] = 1.0,
) -> None:
    """A pretend Office 365 with the real limits and replies, for tests. It sends nothing anywhere."""
    logs.configure(human=True)
    secret = password_file.read_text("utf-8").strip() if password_file else password
    try:
        script = load_faults(faults) if faults else ()
    except (OSError, ValueError) as error:
        raise end(Exit.CONFIG, f"{faults}: {error}") from None
    simulator = Simulator(
        accounts=[Account(mailbox, password=secret, send_as=tuple(send_as or ()))],
        clock=Clock(speed=speed),
        door=Door(names=tuple(name or ())),
        faults=script,
        keep=keep,
        folder=folder,
    )
    if ca_file:
        simulator.write_ca(ca_file)
    try:
        run(_until_stopped(simulator, host, port, control_port, ca_file))
    except OSError as error:
        raise end(Exit.UNAVAILABLE, f"cannot listen on {host}:{port}: {error.strerror}") from None


async def _until_stopped(simulator: Simulator, host: str, port: int, control_port: int, ca_file: Path | None) -> None:
    def ready(control: str) -> None:
        console.print(f"SMTP     {simulator.host}:{simulator.port}, STARTTLS, AUTH LOGIN XOAUTH2", soft_wrap=True)
        console.print(f"control  {control}/messages, /sessions, /violations, /faults, /ca.pem", soft_wrap=True)
        console.print(f"trust    {ca_file or control + '/ca.pem'}", soft_wrap=True)

    serving = asyncio.ensure_future(
        run_simulator(simulator, host=host, port=port, control_host=host, control_port=control_port, ready=ready)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        console.print("stopped")
