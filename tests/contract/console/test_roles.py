"""Authorization matrix of the console: every page and action with every role."""

import re
from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.console.sections import ACTIONS, PAGES
from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, READ_PASSWORD, visitor
from tests.harness import ACCOUNT, MAILBOX, Harness, open_harness, settings_for

READ_ONLY = "You logged in with the read-only password."
UNKNOWN = "01a2234d-1332-7000-98fa-a321901d797a"


class Role(Enum):
    """Password of a visitor; None: nobody logged in."""

    NOBODY = None
    READER = READ_PASSWORD
    OPERATOR = CONSOLE_PASSWORD


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a console that has both passwords."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(
            simulator,
            tmp_path,
            console_password=SecretStr(CONSOLE_PASSWORD),
            console_read_password=SecretStr(READ_PASSWORD),
        )
        async with open_harness(simulator, settings) as harness:
            yield harness


async def made(harness: Harness) -> dict[str, str]:
    """Create one object of each kind and return the concrete paths of all pages and actions."""
    call = harness.caller
    hook = {"endpoint": "https://hooks.example.invalid/in?token=HIDDEN-VALUE", "events": ["email.sent"]}
    webhook = (await call.post("/webhooks", json=hook)).json()["id"]
    key = (await call.post("/keys", json={"name": "shop"})).json()["id"]
    await call.post("/suppressions", json={"email": "gone@example.net"})
    email = await harness.post(html="<p>Hello</p>")
    await harness.until(email, "done")
    events: list[dict[str, str]] = []
    while not events:
        events = (await call.get(f"/webhooks/{webhook}/events")).json()["data"]
    ids = {"emails": str(email), "webhooks": webhook, "keys": key}
    return {
        path: path.replace("{id:uuid}", ids.get(f"{path}/".split("/")[1], ""))
        .replace("{event_id:uuid}", events[0]["id"])
        .replace("{name}", MAILBOX)
        .replace("{kind}", "html")
        for path in {"": None, "/emails": None, **PAGES, **ACTIONS}
    }


@pytest.mark.parametrize("role", Role)
async def test_every_page_and_action(harness: Harness, role: Role) -> None:
    """Nobody gets nothing, a reader every page and no action, an operator both."""
    paths = await made(harness)
    async with visitor(harness) as person:
        await person.open("/login")
        if role.value:
            await person.submit("/login", password=role.value)
        for path in ("", "/emails", *PAGES):
            page = await person.client.get(f"/console{paths[path]}")
            assert page.status_code == (303 if role is Role.NOBODY else 200), path
        for path in ACTIONS:
            answer = await person.client.post(f"/console{paths[path]}", data={"token": person.token})
            match role:
                case Role.NOBODY:
                    assert answer.status_code == 303, path
                case Role.READER:
                    assert (answer.status_code, READ_ONLY in answer.text) == (403, True), path
                case Role.OPERATOR:
                    assert answer.status_code in (200, 303, 400, 422), (path, answer.text)
                    assert not answer.is_redirect or "login" not in answer.headers["location"]


async def test_a_reader_sees_no_form_and_no_secret(harness: Harness) -> None:
    """The only form of each page with a button is the logout."""
    paths = await made(harness)
    async with visitor(harness) as reader:
        await reader.log_in(READ_PASSWORD)
        for path in ("", "/emails", *PAGES):
            page = await reader.client.get(f"/console{paths[path]}")
            assert re.findall(r'method="post" action="([^"]*)"', page.text) in ([], [_logout(page.text)]), path
            assert "HIDDEN-VALUE" not in page.text, path
            assert "whsec_" not in page.text, path
        assert "Log in" in await reader.submit("/logout")


def _logout(text: str) -> str:
    found = re.search(r'action="([^"]*/logout)"', text)
    return found.group(1) if found else ""


async def test_a_reader_changes_nothing(harness: Harness) -> None:
    """With a valid token, and the form that an operator would send."""
    paths = await made(harness)
    async with visitor(harness) as reader:
        await reader.log_in(READ_PASSWORD)
        for path, fields in (
            ("/keys", {"name": "mine", "permission": "full_access"}),
            ("/keys/{id:uuid}", {"action": "revoke"}),
            ("/webhooks/{id:uuid}", {"action": "remove"}),
            ("/webhooks/{id:uuid}", {"action": "show"}),
            ("/suppressions", {"action": "add", "email": "anna@example.com"}),
            ("/mailboxes/{name}", {"action": "hold"}),
        ):
            assert READ_ONLY in await reader.submit(paths[path], 403, **fields)
            await reader.open("")
    assert [one["name"] for one in (await harness.caller.get("/keys")).json()["data"]] == ["POSTERN_API_KEY", "shop"]
    assert len((await harness.caller.get("/webhooks")).json()["data"]) == 1
    assert len((await harness.caller.get("/suppressions")).json()["data"]) == 1
    assert harness.mailbox.is_open


async def test_a_reader_in_the_audit(harness: Harness) -> None:
    """A view of content is recorded with its role."""
    paths = await made(harness)
    async with visitor(harness) as reader:
        await reader.log_in(READ_PASSWORD)
        await reader.client.get(f"/console{paths['/emails/{id:uuid}/message.eml']}")
        shown = await reader.open("/audit")
        assert "console (read-only) email.content_read" in shown


async def test_without_a_read_password(tmp_path: Path) -> None:
    """The role does not exist: its password is wrong."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with open_harness(simulator, settings) as harness, visitor(harness) as person:
            assert "The password is wrong." in await person.log_in(READ_PASSWORD, 403)


async def test_unknown_objects(harness: Harness) -> None:
    """A page of an object that does not exist says so."""
    async with visitor(harness) as person:
        await person.log_in(CONSOLE_PASSWORD)
        for path in PAGES:
            if "{" in path:
                concrete = re.sub(r"{[^}]*uuid}", UNKNOWN, path).replace("{name}", "nobody@contoso.com")
                assert "Not found" in await person.open(concrete.replace("{kind}", "html"), 404)
        await person.open("")
        for path in ("/keys", "/webhooks", "/emails"):
            assert "There is no" in await person.submit(f"{path}/{UNKNOWN}", 404, **_change(path))
            await person.open("")


def _change(path: str) -> dict[str, str]:
    return {"/keys": {"action": "revoke"}, "/webhooks": {"action": "rotate"}}.get(path, {"action": "cancel"})
