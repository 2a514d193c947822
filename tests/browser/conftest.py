"""Fixtures for tests in Chromium. They run only by `make browser`, or pytest with a path in this folder."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, READ_PASSWORD
from tests.harness import ACCOUNT, Harness, open_harness, settings_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
Visitor = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests if Chromium is not installed."""
    if CHROMIUM is None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="Chromium is not installed (Debian: apt-get install chromium)"))


@pytest_asyncio.fixture(loop_scope="session")
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a console, and its simulated upstream."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        passwords = {
            "console_password": SecretStr(CONSOLE_PASSWORD),
            "console_read_password": SecretStr(READ_PASSWORD),
        }
        settings = settings_for(simulator, tmp_path, **passwords)
        async with open_harness(simulator, settings) as harness:
            yield harness


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Headless Chromium, shared by all tests, because it takes seconds to start."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(harness: Harness, chromium: Browser) -> AsyncIterator[Visitor]:
    """Return a function that opens the login page in a new browser context with these options."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> Page:
            context = await chromium.new_context(base_url=harness.postern.url, **options)
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(20_000)
            await page.goto("/console")
            return page

        yield open_one
