"""`postern demo`: the simulator and Postern in one process on this machine, and a first email between them."""

import asyncio
import secrets
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from pydantic import SecretStr

from app import logs
from app.cli import demo_view as view
from app.cli.exit_codes import Exit, end, report_errors, run
from app.http_server.server import HttpServer
from app.main import Postern
from app.settings import Settings, load
from app.simulator import Account, Simulator
from app.simulator.control_api import control_api as control_of

MAILBOX = "noreply@contoso.com"
WAIT = 30  # seconds for the first email to arrive
EMAIL = {
    "from": f"Contoso Shop <{MAILBOX}>",
    "to": ["Ada Lovelace <ada@example.net>"],
    "subject": "Your receipt ✓",
    "html": "<h1>Thank you, Ada</h1><p>Your order <b>No. 1815</b> is on its way.</p>",
    "tags": [{"name": "kind", "value": "receipt"}],
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything the demo has started."""

    simulator: Simulator
    control: HttpServer
    postern: Postern
    key: str
    console_password: str


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the first email arrived.")] = False,
    port: Annotated[int, typer.Option(help="Postern's port; 0 takes a free one.")] = 8025,
    data: Annotated[Path | None, typer.Option(help="Keep the database in this folder.")] = None,
) -> None:
    """Try Postern without Office 365: a pretend one is started beside it."""
    logs.configure(human=True, level="error")  # that its pretend password ends by a real date is no news here
    with tempfile.TemporaryDirectory(prefix="postern-demo-") as scratch:
        arrived = run(_demo(data or Path(scratch), 0 if once else port, once=once))
    if not arrived:
        raise end(Exit.FAILED, f"the email did not arrive within {WAIT} s")


async def _demo(folder: Path, port: int, *, once: bool) -> bool:
    async with AsyncExitStack() as stack:
        stage = await _set(stack, folder, port)
        id = await _post(stage)
        arrived = await _arrives(stage)
        view.life(await _email(stage, id))
        if arrived:
            view.arrived(stage.simulator.messages[0].content)
        if arrived and not once:
            view.next_steps(stage.postern.url, stage.control.url, stage.key, MAILBOX, stage.console_password)
            await _follow(stage)
    return arrived


async def _set(stack: AsyncExitStack, folder: Path, port: int) -> Stage:
    view.title()
    password, key = secrets.token_urlsafe(16), "pst_" + secrets.token_urlsafe(24)
    console_password = secrets.token_urlsafe(12)
    simulator = Simulator(accounts=[Account(MAILBOX, password=password, send_as=("*@contoso.com",))])
    await stack.enter_async_context(simulator)
    ca_file = folder / "simulator-ca.pem"
    simulator.write_ca(ca_file)
    control = HttpServer(control_of(simulator), "127.0.0.1", 0)
    await control.start()
    stack.push_async_callback(control.stop)
    view.step("pretend Office 365", f"{simulator.host}:{simulator.port}, STARTTLS with its own CA")
    postern = Postern(_settings(folder, port, simulator, ca_file, password, key, console_password))
    await stack.enter_async_context(postern)
    view.step("Postern", postern.url)
    view.step("embedded database", str(folder / "postern.db"))
    return Stage(simulator, control, postern, key, console_password)


def _settings(
    folder: Path, port: int, simulator: Simulator, ca_file: Path, password: str, key: str, console_password: str
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
            host="127.0.0.1",
            port=port,
        )


async def _post(stage: Stage) -> str:
    view.request(stage.postern.url, EMAIL)
    async with _client(stage) as client:
        answer = await client.post("/emails", json=EMAIL)
    view.answer(answer.status_code, answer.json(), answer.elapsed.total_seconds())
    answer.raise_for_status()
    return str(answer.json()["id"])


async def _arrives(stage: Stage) -> bool:
    try:
        await stage.simulator.wait_for(1, WAIT)
    except TimeoutError:
        return False
    return True


async def _email(stage: Stage, id: str) -> dict[str, Any]:
    """The email as any caller reads it, once its attempt is settled."""
    async with _client(stage) as client:
        while True:
            email: dict[str, Any] = (await client.get(f"/emails/{id}")).json()
            if email["relay"]["state"] not in ("queued", "active"):
                return email
            await asyncio.sleep(0.01)


async def _follow(stage: Stage) -> None:
    """Show what arrives until the person has seen enough."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_watch(stage))
    await stop.wait()
    watch.cancel()
    view.bye()


async def _watch(stage: Stage) -> None:
    seen = 1
    while True:
        await stage.simulator.wait_for(seen + 1, 86_400)
        for message in stage.simulator.messages[seen:]:
            view.another(message.content)
        seen = len(stage.simulator.messages)


def _client(stage: Stage) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {stage.key}"}
    return httpx.AsyncClient(base_url=stage.postern.url, headers=headers, timeout=WAIT, trust_env=False)
