"""The services that answer POST /emails: Postern with its real settings, and its peers. How each is started."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.bench.processes import Process, UnavailableError, free_port
from tests.bench.progress import say
from tests.bench.setup import CACHE, CONNECTIONS, MAILBOX, PASSWORD, Stage

KEY = "a-key-for-the-bench-alone"
_NODE = Path(__file__).parent / "peers" / "node"
_INSTALL = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    """Running service. `processes` are those whose CPU time counts; it is measured with `count` emails at a time."""

    port: int
    processes: Sequence[Process]
    count: int
    warm_up: int
    relays: bool = True
    durable: bool = True  # what it accepted must arrive
    headers: dict[str, str] = field(default_factory=dict)


def postern(stage: Stage, name: str = "postern", mailboxes: int = 1, urgent_connections: int = 1) -> Service:
    """Start `postern serve` with SQLite, its limits as wide as they go, three connections to each mailbox."""
    port, folder = free_port(), stage.folder / name
    folder.mkdir()
    settings = {
        "API_KEY": KEY,
        "DATA_DIR": str(folder),
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(stage.sink.port),
        "SMTP_CA_FILE": str(stage.ca_file),
        "IPV4_ONLY": "true",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LOG_LEVEL": "info",
    }
    wide = {
        "connections": CONNECTIONS,
        "urgent_connections": urgent_connections,
        "messages_per_minute": 1_000_000,
        "recipients_per_day": 1_000_000_000,
        "password": PASSWORD,
    }
    if mailboxes == 1:
        settings |= {"MAILBOX": MAILBOX, **{name.upper(): str(value) for name, value in wide.items()}}
    else:
        settings["CONFIG"] = str(folder / "postern.toml")
        (folder / "postern.toml").write_text(_pool(mailboxes, wide))
    environment = {f"POSTERN_{name}": value for name, value in settings.items()}
    if odd := sorted(name for name in os.environ if name.startswith("POSTERN_") and name not in environment):
        raise UnavailableError(f"{odd[0]} is set here and would change what is measured: unset it")
    process = stage.start(name, [stage.python, "-m", "app", "serve"], environment, silent=True)
    process.is_well(f"http://127.0.0.1:{port}/readyz")
    return Service(port, [process], 4000, 500, headers={"authorization": f"Bearer {KEY}"})


def postern_unreserved(stage: Stage) -> Service:
    """Start Postern without a session that is reserved for urgent mail: no peer has such a lane."""
    return postern(stage, "unreserved", urgent_connections=0)


def _pool(mailboxes: int, facts: Mapping[str, object]) -> str:
    """A configuration file with one pool of so many mailboxes."""
    lines = ["[[pools]]", 'name = "bench"', 'senders = ["*@contoso.com"]']
    for number in range(mailboxes):
        mailbox = {"mailbox": MAILBOX if number == 0 else f"noreply-{number}@contoso.com", **facts}
        lines += ["[[pools.mailboxes]]", *(f"{name} = {json.dumps(value)}" for name, value in mailbox.items())]
    return "\n".join(lines)


def node(stage: Stage) -> Service:
    """Express, BullMQ on Redis (appendfsync always), Nodemailer's pool: web and worker in one process."""
    folder = node_folder()
    redis, redis_port = _redis(stage)
    port = free_port()
    environment = {**stage.upstream, "PORT": str(port), "REDIS_PORT": str(redis_port), "NODE_ENV": "production"}
    process = stage.start("the Node service", ["node", str(folder / "service.js")], environment)
    process.listens(port)
    return Service(port, [process, redis], 4000, 500)


def tutorial(stage: Stage) -> Service:
    """FastAPI and BackgroundTasks, a connection for each mail, nothing stored."""
    return _uvicorn(stage, "tutorial", count=1000, warm_up=100, relays=True)


def group_commit(stage: Stage) -> Service:
    """Start Starlette with a durable group commit and nothing else."""
    return _uvicorn(stage, "group_commit", count=8000, warm_up=500, relays=False)


def plain(stage: Stage) -> Service:
    """The FastAPI route with nothing behind it."""
    return _uvicorn(stage, "plain", count=8000, warm_up=500, relays=False)


def _uvicorn(stage: Stage, name: str, *, count: int, warm_up: int, relays: bool) -> Service:
    port = free_port()
    command = [stage.python, "-m", f"tests.bench.peers.{name}"]
    own = {"DATABASE": str(stage.folder / f"{name}.db")}
    process = stage.start(name, command, {**stage.upstream, **own, "PORT": str(port)})
    process.listens(port)
    return Service(port, [process], count, warm_up, relays, durable=False)


def _redis(stage: Stage) -> tuple[Process, int]:
    if not (server := shutil.which("redis-server")):
        raise UnavailableError("there is no redis-server: apt-get install -y redis-server")
    port, folder = free_port(), stage.folder / "redis"
    folder.mkdir()
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "loglevel": "warning",  # its output is not read, and a full pipe would block it
        "maxmemory-policy": "noeviction",
    }
    command = [server, *(word for name, value in settings.items() for word in (f"--{name}", value))]
    process = stage.start("redis", command, {})
    process.listens(port)
    return process, port


def node_folder() -> Path:
    """A folder outside of the repository with the Node peers and their packages, installed when they are missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise UnavailableError("there is no node with npm: apt-get install -y nodejs npm")
    package = _NODE / "package.json"
    folder = CACHE / f"node-{sha256(package.read_bytes()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in _NODE.iterdir():
        shutil.copy(file, folder)
    if not (folder / ".installed").exists():
        say("installing the Node peers' packages (once)")
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"npm install took longer than {_INSTALL:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise UnavailableError(f"npm install failed: {lines[0]}")
    (folder / ".installed").touch()
