"""Complete Postern on PostgreSQL: from the POST to the mailbox, through an outage of the server and a restart."""

from collections.abc import Awaitable
from pathlib import Path
from socket import gethostname

import httpx
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import visitor
from tests.harness import ACCOUNT, EMAIL, open_harness, settings_for
from tests.postgres import Server
from tests.waiting import until


async def test_an_email_is_relayed_and_readable_after_a_restart(postgres_url: str, tmp_path: Path) -> None:
    """The data folder has no file."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, database_url=postgres_url, data_dir=tmp_path / "data")
        async with open_harness(simulator, settings) as harness:
            id = await harness.post()
            await harness.until(id, "done")
        async with open_harness(simulator, settings) as harness:
            assert (await harness.email(id))["last_event"] == "sent"
        assert len(simulator.messages) == 1
        assert not (tmp_path / "data").exists()


async def answers_200(request: Awaitable[httpx.Response]) -> bool:
    """Return whether the answer to a request is 200."""
    return (await request).status_code == 200


async def test_an_outage_of_the_server_is_survived(postgres_server: Server, postgres_url: str, tmp_path: Path) -> None:
    """503 meanwhile; afterwards it accepts and relays."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, database_url=postgres_url)
        async with open_harness(simulator, settings) as harness:
            await harness.until(await harness.post(), "done")
            postgres_server.stop()
            try:
                answer = await harness.caller.post("/emails", json=EMAIL)
                assert answer.status_code == 503
                assert "retry-after" in answer.headers
                assert (await harness.caller.get("/readyz")).status_code == 503
            finally:
                postgres_server.start()
            await until(lambda: answers_200(harness.caller.post("/emails", json=EMAIL)))
            await until(lambda: len(simulator.messages) >= 2)
            await until(lambda: answers_200(harness.caller.get("/readyz")))  # the result can be a second old


async def test_a_deep_check_leaves_the_login_to_the_owner(postgres_url: str, tmp_path: Path) -> None:
    """Another replica's login could exceed the limit of the mailbox; the finding names the owner."""
    password = SecretStr("a-console-password-for-tests")
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        relays = settings_for(simulator, tmp_path, database_url=postgres_url, console_password=password)
        accepts = settings_for(simulator, tmp_path, database_url=postgres_url, role="api", console_password=password)
        async with open_harness(simulator, relays) as relay, open_harness(simulator, accepts) as other:
            elsewhere = (await other.caller.get("/readyz?deep=1")).json()
            assert (elsewhere["status"], elsewhere["relaying"]) == ("ready", True)
            assert "another replica owns it" in elsewhere["findings"][-1]["summary"]
            assert simulator.logins == []
            here = (await relay.caller.get("/readyz?deep=1")).json()
            assert here["findings"][-1]["summary"] == "The login succeeded."
            assert len(simulator.logins) == 1
            async with visitor(other) as operator:
                assert f"owner {gethostname()}:{httpx.URL(relay.postern.url).port}" in await operator.log_in()
