"""Login, sessions and CSRF protection of the console."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.console.session import MAX_LOGIN_DELAY
from app.simulator import Simulator
from tests.clock import LoopClock, autojump
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.harness import ACCOUNT, MAILBOX, PASSWORD, Harness, open_harness, settings_for

PAGES = ("", "/emails", "/emails/01a2234d-1332-7000-98fa-a321901d797a", f"/mailboxes/{MAILBOX}", "/webhooks", "/audit")


def redirect_path(answer: httpx.Response) -> str:
    """Return the path of a redirect."""
    assert answer.status_code == 303
    assert answer.next_request is not None
    return answer.next_request.url.path


async def test_no_console_without_a_password(tmp_path: Path) -> None:
    """Without POSTERN_CONSOLE_PASSWORD, /console is an unknown path of the API."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
    ):
        for path in ("/console", "/console/login", "/console/style.css"):
            answer = await harness.caller.get(path)
            assert (answer.status_code, answer.json()["name"]) == (404, "not_found")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_redirects_to_the_login(harness: Harness, path: str) -> None:
    """An API key does not open the console either."""
    for method in ("GET", "HEAD"):
        answer = await harness.caller.request(method, f"/console{path}")
        assert redirect_path(answer) == "/console/login"
        assert answer.text == ""


async def test_the_right_password(operator: Operator) -> None:
    """The overview is shown, and the paths of the API still work."""
    assert "Log out" in operator.shows
    assert (await operator.client.get("/healthz")).status_code == 200
    assert (await operator.client.get("/emails")).status_code == 401
    assert (await operator.client.get("/consoles")).status_code == 404


async def test_a_wrong_password(harness: Harness) -> None:
    """The login page says so, and does not repeat the password."""
    async with visitor(harness) as attacker:
        shown = await attacker.log_in("not-the-password", 403)
        assert "The password is wrong." in shown
        assert "not-the-password" not in attacker.page.text
        assert "Log in" in await attacker.open()


@asynccontextmanager
async def virtual(folder: Path) -> AsyncIterator[Harness]:
    """Postern with a console, in virtual time."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, folder, console_password=SecretStr(CONSOLE_PASSWORD))
        async with open_harness(simulator, settings, LoopClock()) as harness:
            yield harness


@autojump
async def test_many_wrong_passwords(tmp_path: Path) -> None:
    """They delay further attempts from their address by a bounded time, and do not end existing sessions."""
    async with virtual(tmp_path) as harness, visitor(harness) as operator, visitor(harness) as attacker:
        await operator.log_in()
        loop = asyncio.get_running_loop()
        for _ in range(60):
            await attacker.log_in("not-the-password", 403)
        began = loop.time()
        assert began > 60  # seconds; without the throttle 60 attempts take no time
        assert "Log out" in await attacker.log_in()
        assert loop.time() - began < MAX_LOGIN_DELAY + 1
        assert "Log out" in await operator.open()


@autojump
async def test_a_flood_of_wrong_passwords_at_once(tmp_path: Path) -> None:
    """Concurrent attempts from one address, as behind a gateway, do not delay the right password further."""
    async with virtual(tmp_path) as harness, visitor(harness) as operator, visitor(harness) as attacker:
        await attacker.open("/login")
        form = {"token": attacker.token, "password": "not-the-password"}
        loop = asyncio.get_running_loop()
        flood = [asyncio.create_task(attacker.client.post("/console/login", data=form)) for _ in range(80)]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        began = loop.time()
        assert "Log out" in await operator.log_in()
        assert loop.time() - began < MAX_LOGIN_DELAY + 1
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {403}


async def test_the_cookie(harness: Harness) -> None:
    """The cookie is HttpOnly and SameSite=Strict, and Secure over TLS."""
    for secure, headers in ((False, {}), (True, {"x-forwarded-proto": "https"})):
        async with visitor(harness) as person:
            await person.open("/login")
            answer = await person.client.post(
                "/console/login", data={"token": person.token, "password": CONSOLE_PASSWORD}, headers=headers
            )
            [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
            assert cookie["httponly"]
            assert (cookie["samesite"], cookie["path"], bool(cookie["secure"])) == ("strict", "", secure)
            assert 0 < int(cookie["max-age"]) <= 8 * 3600


async def test_logging_out_ends_the_session(harness: Harness, operator: Operator) -> None:
    """A copy of the cookie does not work either."""
    copied = dict(operator.client.cookies)
    assert "Log in" in await operator.submit("/logout")
    assert not operator.client.cookies.get("postern_console", path="/console") or "Log in" in await operator.open()
    async with httpx.AsyncClient(base_url=harness.postern.url, cookies=copied, trust_env=False) as thief:
        assert (await thief.get("/console")).status_code == 303


async def test_a_logout_survives_a_restart(tmp_path: Path) -> None:
    """The session stays ended on the next start; other sessions go on."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with open_harness(simulator, settings) as harness, visitor(harness) as one, visitor(harness) as two:
            await one.log_in()
            await two.log_in()
            ended, other = dict(one.client.cookies), dict(two.client.cookies)
            await one.submit("/logout")
        async with open_harness(simulator, settings) as harness:
            for cookies, status in ((ended, 303), (other, 200)):
                async with httpx.AsyncClient(base_url=harness.postern.url, cookies=cookies, trust_env=False) as person:
                    assert (await person.get("/console")).status_code == status
            async with visitor(harness) as again:
                again.client.cookies.set("postern_console", ended["postern_console"], "127.0.0.1", "/console")
                await again.log_in()
                assert "Log out" in await again.open()


async def test_forged_cookies(harness: Harness, operator: Operator) -> None:
    """A cookie with any changed part is refused, and so is any other text."""
    ours = operator.client.cookies["postern_console"]
    kind, until, nonce, seal = ours.split(".")
    forged = (
        f"operator.{until}.{'0' * 32}.{seal}",
        f"{kind}.{int(until) + 1}.{nonce}.{seal}",
        f"{kind}.{until}.{nonce}.{'0' * 64}",
        ours[:-1],
        "...",
        "x",
        "é",
    )
    for cookie in forged:
        async with httpx.AsyncClient(base_url=harness.postern.url, trust_env=False) as thief:
            answer = await thief.get("/console", headers={b"cookie": f"postern_console={cookie}".encode()})
            assert answer.status_code == 303, cookie


async def test_a_guest_session_opens_nothing(harness: Harness) -> None:
    """The guest session of the login page is valid for its form only."""
    async with visitor(harness) as guest:
        await guest.open("/login")
        answer = await guest.client.post("/console/logout", data={"token": guest.token})
        assert redirect_path(answer) == "/console/login"


async def test_a_form_without_the_csrf_token_does_nothing(harness: Harness, operator: Operator) -> None:
    """The cookie alone is not enough, and neither is the token of another session."""
    async with visitor(harness) as other:
        await other.log_in()
        for fields in ({}, {"token": ""}, {"token": "é"}, {"token": other.token}):
            answer = await operator.client.post(f"/console/mailboxes/{MAILBOX}", data={"action": "hold", **fields})
            assert answer.status_code == 403
            assert "belongs to another session" in answer.text
    assert harness.mailbox.is_open


async def test_replicas_accept_each_others_sessions(harness: Harness, operator: Operator, tmp_path: Path) -> None:
    """Replicas with the same password accept the same cookie."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        for password, status in ((CONSOLE_PASSWORD, 200), ("quite-another-password", 303)):
            (folder := tmp_path / password).mkdir()
            settings = settings_for(simulator, folder, console_password=SecretStr(password))
            async with open_harness(simulator, settings) as other:
                cookies = dict(operator.client.cookies)
                async with httpx.AsyncClient(base_url=other.postern.url, cookies=cookies, trust_env=False) as person:
                    assert (await person.get("/console")).status_code == status


@pytest.mark.parametrize("prefix", ["", "/mail"], ids=["removed", "preserved"])
async def test_below_a_path(tmp_path: Path, prefix: str) -> None:
    """The login works below a root path, whether the gateway removes it or not."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        password = SecretStr(CONSOLE_PASSWORD)
        settings = settings_for(simulator, tmp_path, console_password=password, root_path="/mail")
        async with open_harness(simulator, settings) as harness, visitor(harness) as person:
            person.client.base_url = httpx.URL(f"{harness.postern.url}{prefix}/")
            await person.log_in()
            assert person.page.url.path == f"{prefix}/console"
            assert "Log out" in person.shows
            assert "Emails" in await person.open("/emails")


async def test_security_headers(operator: Operator) -> None:
    """Every page forbids inline scripts, foreign resources, frames and caching, and has no inline script or style."""
    for path in (*PAGES, "/nowhere", "/login"):
        page = await operator.client.get(f"/console{path}")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; ")
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert (page.headers["cache-control"], page.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert page.headers["x-frame-options"] == "DENY"
        assert re.sub(r'<script src="[./]*console/console.js" defer></script>', "", page.text).count("<script") == 0
        for forbidden in ("style=", "javascript:", "http://", "onclick"):
            assert forbidden not in page.text


async def test_the_request_id(harness: Harness, operator: Operator, capfd: pytest.CaptureFixture[str]) -> None:
    """A valid X-Request-Id is returned and logged; an invalid one is replaced."""
    await operator.open(f"/mailboxes/{MAILBOX}")
    await harness.until(await harness.post(), "done")
    form = {"token": operator.token, "action": "release"}
    answer = await operator.client.post(
        f"/console/mailboxes/{MAILBOX}", data=form, headers={"x-request-id": "of-nginx"}
    )
    assert answer.headers["x-request-id"] == "of-nginx"
    assert "of-nginx" in next(line for line in capfd.readouterr().err.splitlines() if "mailbox.wished" in line)
    for given in ("a b", "x" * 129):
        made = (await operator.client.get("/console/nowhere", headers={"x-request-id": given})).headers["x-request-id"]
        assert len(made) == 24


async def test_large_and_invalid_forms(operator: Operator) -> None:
    """They are refused with an error page."""
    for body, status in (
        (b"token=" + b"x" * 20_000, 413),
        (b"\xff\xfe", 400),
        (b"&".join([b"a=b"] * 101), 400),
        (b"", 403),
    ):
        answer = await operator.client.post("/console/logout", content=body)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")


async def test_paths_and_methods(operator: Operator) -> None:
    """Unknown paths get an error page; a trailing slash is ignored."""
    for path, status in (("/nowhere", 404), ("/emails/x", 404), ("/mailboxes/nobody@contoso.com", 404), ("/", 200)):
        answer = await operator.client.get(f"/console{path}")
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
    answer = await operator.client.request("DELETE", "/console/emails")
    assert (answer.status_code, {*answer.headers["allow"].split(", ")}) == (405, {"GET", "HEAD"})


async def test_no_secret_is_on_a_page_or_in_the_log(
    harness: Harness, operator: Operator, capfd: pytest.CaptureFixture[str]
) -> None:
    """The passwords of console and mailbox and the API key appear nowhere."""
    await harness.until(await harness.post(), "done")
    seen = [(await operator.client.get(f"/console{path}")).text for path in PAGES]
    async with visitor(harness) as attacker:
        await attacker.log_in("a-mistyped-console-password", 403)
    await asyncio.sleep(0)
    log = "".join(capfd.readouterr())
    assert "console.refused" in log
    key = harness.caller.headers["authorization"].removeprefix("Bearer ")
    for secret in (CONSOLE_PASSWORD, PASSWORD, key, "a-mistyped-console-password"):
        assert secret not in "".join(seen) + log
    assert CONSOLE_PASSWORD not in repr(harness.postern.settings)
