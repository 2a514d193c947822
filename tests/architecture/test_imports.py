"""A process imports only the packages that it uses: they are most of its start-up time and of its idle memory."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from alembic.script import ScriptDirectory

from app.simulator import Simulator
from app.store.migrations import NEWEST, REVISIONS, migrate
from app.store.migrations.upgrade import config
from tests.harness import ACCOUNT, EMAIL, KEY
from tests.processes import serve_environment

LIBRARIES = {
    *("alembic", "cryptography", "dns", "fastapi", "httpcore", "httpx", "jinja2", "msal", "prometheus_client"),
    *("psycopg", "pydantic", "requests", "rich", "sqlalchemy", "starlette", "structlog", "typer", "uvicorn"),
}
# Of an idle `serve` with SQLite, a password, no console and no tracing. FastAPI itself imports OpenTelemetry's API.
NOT_OF_SERVE = {
    *("alembic", "app.console", "app.doctor.doctor", "app.simulator", "app.tracing.otel", "asyncpg"),
    *(
        "charset_normalizer",
        "cryptography",
        "dns",
        "httpcore",
        "httpx",
        "jinja2",
        "mako",
        "msal",
        "opentelemetry.exporter",
        "opentelemetry.sdk",
    ),
    *("psycopg", "pygments", "requests", "rich", "sqlalchemy.dialects.postgresql", "standardwebhooks", "structlog"),
    *("tenacity", "trustme", "urllib3"),
}
SERVE = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
sys.argv = ["postern", "serve"]
from app.__main__ import main
main()
"""


def test_the_version_needs_no_package() -> None:
    """`postern --version` imports none of the dependencies."""
    command = [sys.executable, "-X", "importtime", "-m", "app", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "app" in imported
    assert LIBRARIES & imported == set()


@pytest.mark.parametrize("arguments", [["--help"], ["keys", "--help"], ["send", "--help"], ["simulate", "--help"]])
def test_help_needs_no_server(arguments: list[str]) -> None:
    """The help of a command imports neither the HTTP server nor the clients of the mail server."""
    command = [sys.executable, "-X", "importtime", "-m", "app", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"app.main", "alembic", "msal", "psycopg"} & imported == set()


async def test_a_server_has_only_what_it_uses(tmp_path: Path) -> None:
    """With a current database and a password, a server that has sent an email has no package of what is off."""
    migrate(f"sqlite:///{tmp_path}/postern.db")
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        environment = serve_environment(simulator, tmp_path)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE), env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stderr is not None
        facts: dict[str, str] = {}
        while facts.get("event") != "started":
            facts = json.loads(await process.stderr.readline())
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as caller:
            assert (await caller.get(f"{facts['url']}/readyz")).status_code == 200
            assert (await caller.post(f"{facts['url']}/emails", json=EMAIL)).status_code == 200
        while facts.get("event") != "email.attempted":
            facts = json.loads(await process.stderr.readline())
        process.terminate()
        output, _ = await process.communicate()
    assert process.returncode == 0
    imported = set(output.decode().split())
    assert "app.main" in imported
    assert NOT_OF_SERVE & imported == set()


def test_the_revisions_are_those_of_alembic() -> None:
    """The revisions by the names of the files, which a start compares, are the chain that Alembic applies."""
    chain = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()]
    assert chain[::-1] == REVISIONS
    assert ScriptDirectory.from_config(config()).get_heads() == [NEWEST]
