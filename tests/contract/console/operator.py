"""A person at the console, by plain HTTP: follows what the pages offer, and keeps their cookies."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape

import httpx

from tests.harness import PATIENCE, Harness

CONSOLE_PASSWORD = "a-console-password-for-tests"
TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


class Operator:
    """One browser. `page` is what it shows."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: httpx.Response

    @property
    def shows(self) -> str:
        """The page as a person reads it: without tags, on one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page.text)).split())

    @property
    def token(self) -> str:
        """What the page's forms bear; the same in all of one session."""
        found = TOKEN.findall(self.page.text)
        assert found
        return str(found[-1])

    async def open(self, path: str = "", status: int = 200, query: Mapping[str, str] | None = None) -> str:
        """Go there, and where that leads to; what is shown."""
        self.page = await self.client.get(f"/console{path}", params=query, follow_redirects=True)
        assert self.page.status_code == status, self.page.text
        return self.shows

    async def submit(self, path: str, status: int = 200, **fields: str) -> str:
        """Send the form of this page that leads there."""
        given = {"token": self.token, **fields}
        self.page = await self.client.post(f"/console{path}", data=given, follow_redirects=True)
        assert self.page.status_code == status, self.page.text
        return self.shows

    async def log_in(self, password: str = CONSOLE_PASSWORD, status: int = 200) -> str:
        """From the login page on."""
        await self.open("/login")
        return await self.submit("/login", status, password=password)


@asynccontextmanager
async def visitor(home: Harness) -> AsyncIterator[Operator]:
    """Somebody with an empty browser."""
    async with httpx.AsyncClient(base_url=home.postern.url, timeout=PATIENCE, trust_env=False) as client:
        yield Operator(client)
