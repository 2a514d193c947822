"""Console through each gateway, over TLS, at the root and below a path."""

from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator
from tests.gateway.conftest import FORWARDER
from tests.gateway.gateways import gateway
from tests.harness import ACCOUNT, MAILBOX, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT


@pytest.mark.parametrize("prefix", ["", "/mail"])
async def test_an_operator_logs_in_through_a_gateway(
    kind: str, tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cookie is for TLS only; errors are Postern's own pages, and the log has the operator's address."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        password = SecretStr(CONSOLE_PASSWORD)
        settings = settings_for(
            simulator, tmp_path, console_password=password, root_path=prefix, forwarded_allow_ips=FORWARDER
        )
        async with open_harness(simulator, settings) as harness:
            with gateway(
                kind,
                int(harness.postern.url.rpartition(":")[2]),
                parts=("console", "prefix") if prefix else ("console",),
            ) as proxy:
                url = f"{proxy.url.replace('localhost', '127.0.0.1')}{prefix}/"
                transport = httpx.AsyncHTTPTransport(verify=proxy.trust(), local_address="127.0.0.2")
                async with httpx.AsyncClient(base_url=url, transport=transport, timeout=WAIT_TIMEOUT) as client:
                    await walk(Operator(client))
    assert "127.0.0.2" in next(line for line in capsys.readouterr().err.splitlines() if "console.refused" in line)


async def walk(operator: Operator) -> None:
    """Log in and submit a form."""
    assert "The password is wrong." in await operator.log_in("not-the-password", 403)
    [cookie] = SimpleCookie(operator.page.headers["set-cookie"]).values()
    assert cookie["secure"]
    assert "Log out" in await operator.log_in()
    assert "There is no such page." in await operator.open("/nowhere", 404)
    await operator.open(f"/mailboxes/{MAILBOX}")
    assert "auth ok" in await operator.submit(f"/mailboxes/{MAILBOX}/examine")
