"""Operator of the console over plain HTTP: follows redirects, submits forms and stores cookies."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape

import httpx

from tests.harness import Harness
from tests.waiting import WAIT_TIMEOUT

CONSOLE_PASSWORD = "a-console-password-for-tests"
READ_PASSWORD = "a-read-only-password-for-tests"
TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


class Operator:
    """Browser with its own cookies. `page` is the last response."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: httpx.Response

    @property
    def shows(self) -> str:
        """Text of the page without tags, on one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page.text)).split())

    @property
    def token(self) -> str:
        """CSRF token of the page's forms, which is the same in one session."""
        found = TOKEN.findall(self.page.text)
        assert found
        return str(found[-1])

    async def open(self, path: str = "", status: int = 200, query: Mapping[str, str] | None = None) -> str:
        """Open a page, follow redirects, and return its text."""
        self.page = await self.client.get(f"/console{path}", params=query, follow_redirects=True)
        assert self.page.status_code == status, self.page.text
        return self.shows

    async def follow(self, rel: str) -> None:
        """Open the link of the page with this relation."""
        url = unescape(self.page.text.split(f'rel="{rel}" href="')[1].split('"')[0])
        self.page = await self.client.get(url)
        assert self.page.status_code == 200

    async def submit(self, path: str, status: int = 200, /, **fields: str | list[str]) -> str:
        """Submit a form to this path and return the text of the response page."""
        given = {"token": self.token, **fields}
        self.page = await self.client.post(f"/console{path}", data=given, follow_redirects=True)
        assert self.page.status_code == status, self.page.text
        return self.shows

    async def log_in(self, password: str = CONSOLE_PASSWORD, status: int = 200) -> str:
        """Log in, starting at the login page."""
        await self.open("/login")
        return await self.submit("/login", status, password=password)


@asynccontextmanager
async def visitor(harness: Harness) -> AsyncIterator[Operator]:
    """Browser without cookies."""
    async with httpx.AsyncClient(base_url=harness.postern.url, timeout=WAIT_TIMEOUT, trust_env=False) as client:
        yield Operator(client)
