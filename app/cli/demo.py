"""Command `postern demo`: run the simulator and Postern in one process and send a first email."""

import asyncio
import secrets
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import typer
from pydantic import SecretStr

from app import logs
from app.cli.exit_codes import Exit, end, report_errors, run
from app.cli.output import demo as view
from app.http_server.server import HttpServer
from app.main import Postern, stop_signal
from app.settings import Settings, load
from app.simulator import Account, Simulator
from app.simulator.control_api import control_api

MAILBOX = "noreply@contoso.com"
DELIVERY_TIMEOUT = 30  # seconds
EMAIL = {
    "from": f"Contoso Shop <{MAILBOX}>",
    "to": ["Ada Lovelace <ada@example.net>"],
    "subject": "Your receipt ✓",
    "html": "<h1>Thank you, Ada</h1><p>Your order <b>No. 1815</b> is on its way.</p>",
    "tags": [{"name": "kind", "value": "receipt"}],
}


class _Options(NamedTuple):
    """Addresses to listen on, and the API key; None for a new one. Port 0 selects a free one."""

    host: str
    port: int
    control_port: int
    api_key: str | None


@dataclass(frozen=True, slots=True)
class Demo:
    """Running servers of the demo, and its credentials."""

    simulator: Simulator
    control: HttpServer
    postern: Postern
    key: str
    console_password: str


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the first email has arrived.")] = False,
    port: Annotated[int, typer.Option(help="Port of Postern; 0 selects a free one.")] = 8025,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1",
    control_port: Annotated[
        int, typer.Option(help="Port of the inbox and the control API of the simulator; 0 selects a free one.")
    ] = 0,
    api_key: Annotated[str | None, typer.Option(help="API key, for tests only; a new one by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for the database; a temporary one by default.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Send no email; print addresses and credentials as one line of JSON.")
    ] = False,
) -> None:
    """Run `postern demo`."""
    logs.configure(human=True, level="error")  # without the warning that passwords expire
    with tempfile.TemporaryDirectory(prefix="postern-demo-") as temporary:
        folder = data or Path(temporary)
        with report_errors():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = _Options(host, 0 if once else port, control_port, api_key)
        arrived = run(_serve(folder, options) if as_json else _demo(folder, options, once=once))
    if not arrived:
        raise end(Exit.FAILED, f"the email did not arrive within {DELIVERY_TIMEOUT} s")


async def _serve(folder: Path, options: _Options) -> bool:
    """Run the servers for other programs, until SIGINT or SIGTERM."""
    async with AsyncExitStack() as stack:
        demo = await _start(stack, folder, options)
        stop = stop_signal()
        view.as_json(
            url=demo.postern.url,
            api_key=demo.key,
            console_password=demo.console_password,
            mailbox=MAILBOX,
            simulator=demo.control.url,
        )
        await stop.wait()
    return True


async def _demo(folder: Path, options: _Options, *, once: bool) -> bool:
    async with AsyncExitStack() as stack:
        view.title()
        demo = await _start(stack, folder, options)
        simulator = demo.simulator
        view.step("simulated Office 365", f"{simulator.host}:{simulator.port}, STARTTLS with its own CA")
        view.step("Postern", demo.postern.url)
        view.step("embedded database", str(folder / "postern.db"))
        id = await _post(demo)
        arrived = await _wait_for_arrival(demo)
        view.dialogue(await _email(demo, id))
        if arrived:
            view.arrived(demo.simulator.messages[0].content)
        if arrived and not once:
            view.next_steps(demo.postern.url, demo.control.url, demo.key, MAILBOX, demo.console_password)
            await _follow(demo)
    return arrived


async def _start(stack: AsyncExitStack, folder: Path, options: _Options) -> Demo:
    password, key = secrets.token_urlsafe(16), options.api_key or "pst_" + secrets.token_urlsafe(24)
    console_password = secrets.token_urlsafe(12)
    simulator = Simulator(accounts=[Account(MAILBOX, password=password, send_as=("*@contoso.com",))])
    await stack.enter_async_context(simulator)
    ca_file = folder / "simulator-ca.pem"
    simulator.write_ca(ca_file)
    control = HttpServer(control_api(simulator), options.host, options.control_port)
    await control.start()
    stack.push_async_callback(control.stop)
    postern = Postern(_settings(folder, options, simulator, ca_file, password, key, console_password))
    await stack.enter_async_context(postern)
    return Demo(simulator, control, postern, key, console_password)


def _settings(
    folder: Path,
    options: _Options,
    simulator: Simulator,
    ca_file: Path,
    password: str,
    key: str,
    console_password: str,
) -> Settings:
    with report_errors():
        return load(
            Settings,
            mailbox=MAILBOX,
            password=SecretStr(password),
            senders="*@contoso.com",
            api_key=SecretStr(key),
            console_password=SecretStr(console_password),
            data_dir=folder,
            smtp_host=simulator.host,
            smtp_port=simulator.port,
            smtp_ca_file=ca_file,
            host=options.host,
            port=options.port,
        )


async def _post(demo: Demo) -> str:
    view.request(demo.postern.url, EMAIL)
    async with _client(demo) as client:
        response = await client.post("/emails", json=EMAIL)
    view.response(response.status_code, response.json(), response.elapsed.total_seconds())
    response.raise_for_status()
    return str(response.json()["id"])


async def _wait_for_arrival(demo: Demo) -> bool:
    try:
        await demo.simulator.wait_for(1, DELIVERY_TIMEOUT)
    except TimeoutError:
        return False
    return True


async def _email(demo: Demo, id: str) -> dict[str, Any]:
    """Return GET /emails/{id} after the attempt has ended."""
    async with _client(demo) as client:
        while True:
            email: dict[str, Any] = (await client.get(f"/emails/{id}")).json()
            if email["relay"]["state"] not in ("queued", "active"):
                return email
            await asyncio.sleep(0.01)


async def _follow(demo: Demo) -> None:
    """Show further emails until SIGINT or SIGTERM."""
    stop = stop_signal()
    watch = asyncio.create_task(_watch(demo))
    await stop.wait()
    watch.cancel()
    view.stopped()


async def _watch(demo: Demo) -> None:
    seen = 1
    while True:
        await demo.simulator.wait_for(seen + 1, 86_400)
        for message in demo.simulator.messages[seen:]:
            view.further_arrival(message.content)
        seen = len(demo.simulator.messages)


def _client(demo: Demo) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {demo.key}"}
    return httpx.AsyncClient(base_url=demo.postern.url, headers=headers, timeout=DELIVERY_TIMEOUT, trust_env=False)
