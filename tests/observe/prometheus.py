"""Real Prometheus on loopback with the rules of deploy/prometheus, which scrapes every second."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
SECONDS = 30.0  # for it to be ready, and to end


def missing() -> bool:
    """Return whether it is not installed."""
    return shutil.which("prometheus") is None or shutil.which("promtool") is None


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Running Prometheus."""

    client: httpx.AsyncClient

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the current samples of an expression."""
        return list((await self._get("query", query=query))["result"])

    async def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its state."""
        return [rule for group in (await self._get("rules"))["groups"] for rule in group["rules"]]

    async def targets(self) -> list[dict[str, Any]]:
        """Return the targets with the result of their last scrape."""
        return list((await self._get("targets"))["activeTargets"])

    async def scraped(self) -> None:
        """Wait until its target was scraped again. After the start it has none yet."""
        before = [target["lastScrape"] for target in await self.targets()]

        async def again() -> bool:
            now = [target["lastScrape"] for target in await self.targets()]
            return bool(now) and now != before

        await until(again)

    async def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


@asynccontextmanager
async def running(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run one that scrapes `target` (host:port) as the job `postern`."""
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / pattern) for pattern in config["rule_files"]]
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]  # loopback has no DNS name
    job["static_configs"] = [{"targets": [target]}]
    file, port = folder / "prometheus.yml", _free_port()
    file.write_text(yaml.safe_dump(config), "utf-8")
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await _ready(client)
            yield Prometheus(client)
    finally:
        process.terminate()
        async with asyncio.timeout(SECONDS):
            await process.wait()


async def _ready(client: httpx.AsyncClient) -> None:
    async def is_ready() -> bool:
        with suppress(httpx.TransportError):
            return (await client.get("/-/ready")).status_code == 200
        return False

    await until(is_ready, SECONDS)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
