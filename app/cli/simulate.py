"""Command `postern simulate`: run the simulated Office 365, Entra ID and Microsoft Graph."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app import logs
from app.cli.exit_codes import Exit, end, report_errors, run
from app.cli.output.terminal import console
from app.clock import Clock
from app.simulator import Account, Fault, ServerProfile, Simulator, find_faults
from app.simulator.entra import TENANT, App, Entra
from app.simulator.run import Ports
from app.simulator.run import run as run_simulator
from app.simulator.trace import MessageTrace

DEFAULT_SECRET = "made-up-password"  # noqa: S105 - of simulated services
CLIENT_ID = "0d3c5b1a-2e47-4f7c-9a51-6c8e7f2d4b90"

SendAs = Annotated[list[str] | None, typer.Option(help="Patterns of the senders on which the mailbox has Send As.")]
Faults = Annotated[
    list[str] | None, typer.Option(help="Name of a ready fault, or file of a fault script (TOML or JSON).")
]
WithOAuth = Annotated[bool, typer.Option("--oauth", help="Also simulate Microsoft Entra ID, which issues tokens.")]
WithGraph = Annotated[
    bool,
    typer.Option(
        "--graph", help="Also simulate Microsoft Graph: the message trace, and the mailbox with its reports of bounces."
    ),
]


def simulate(
    mailbox: Annotated[str, typer.Option(help="Address of the mailbox.")] = "noreply@contoso.com",
    password: Annotated[str, typer.Option(help="Password of the mailbox; for tests only.")] = DEFAULT_SECRET,
    password_file: Annotated[Path | None, typer.Option(help="File that contains the password.")] = None,
    send_as: SendAs = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="SMTP port; 0 selects a free one.")] = 5870,
    control_port: Annotated[int, typer.Option(help="Port of the HTTP control API; 0 selects a free one.")] = 8026,
    name: Annotated[list[str] | None, typer.Option(help="Additional host names for the certificate.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Write the CA certificate to this file.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write every accepted message to this folder as .eml.")] = None,
    faults: Faults = None,
    keep: Annotated[int, typer.Option(min=1, help="Maximum number of messages in memory.")] = 1000,
    speed: Annotated[float, typer.Option(min=0.001, help="Speed of the clock; 2 is twice as fast.")] = 1.0,
    oauth: WithOAuth = False,
    oauth_port: Annotated[int, typer.Option(help="HTTPS port of Entra ID; 0 selects a free one.")] = 8443,
    graph: WithGraph = False,
    graph_port: Annotated[int, typer.Option(help="HTTPS port of Graph; 0 selects a free one.")] = 8444,
) -> None:
    """Run `postern simulate`."""
    logs.configure(human=True)
    account = Account(mailbox, password=_read_secret(password_file) or password, send_as=tuple(send_as or ()))
    with report_errors():
        profile, scripts = ServerProfile(names=tuple(name or ())), _find_faults(faults or ())
        simulator = Simulator(
            clock=Clock(speed=speed), profile=profile, faults=scripts, max_records=keep, folder=folder
        )
        if ca_file:
            simulator.write_ca(ca_file)
    entra = Entra(simulator, [App(CLIENT_ID, secrets=(DEFAULT_SECRET,))]) if oauth or graph else None
    simulator.accounts.add(replace(account, validate_token=entra.is_valid_token) if entra else account)
    ports = Ports(host, port, control_port, oauth_port, graph_port)
    trace = MessageTrace(simulator, entra) if entra and graph else None
    try:
        run(_until_stopped(simulator, entra, trace, ports, ca_file))
    except OSError as error:
        raise end(Exit.UNAVAILABLE, f"cannot listen on {host}:{port}: {error.strerror}") from None


def _read_secret(file: Path | None) -> str:
    return file.read_text("utf-8").strip() if file else ""


def _find_faults(sources: Sequence[str]) -> list[Fault]:
    found: list[Fault] = []
    for source in sources:
        try:
            found += find_faults(source)
        except (OSError, ValueError) as error:
            raise end(Exit.CONFIG, f"{source}: {error}") from None
    return found


async def _until_stopped(
    simulator: Simulator, entra: Entra | None, graph: MessageTrace | None, ports: Ports, ca_file: Path | None
) -> None:
    def ready(control: str) -> None:
        console.print(f"SMTP     {simulator.host}:{simulator.port}, STARTTLS, AUTH LOGIN XOAUTH2", soft_wrap=True)
        console.print(f"control  {control}/messages, /sessions, /violations, /faults, /ca.pem", soft_wrap=True)
        if entra:
            console.print(
                f"OAuth    {entra.authority}, tenant {TENANT}, client {CLIENT_ID}, secret {DEFAULT_SECRET}",
                soft_wrap=True,
            )
        if graph:
            console.print(f"Graph    {graph.url}, message trace and mail folders, with the same app", soft_wrap=True)
            console.print(f"fates    {control}/fates, what becomes of a recipient", soft_wrap=True)
        console.print(f"trust    {ca_file or control + '/ca.pem'}", soft_wrap=True)

    serving = asyncio.ensure_future(run_simulator(simulator, ports, entra=entra, graph=graph, ready=ready))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        console.print("stopped")
