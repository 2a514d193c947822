"""`postern simulate --graph`: the simulated services in a process of their own, as an application's tests use them."""

import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

COMMAND = [sys.executable, "-m", "app", "simulate", "--graph", "--port", "0", "--control-port", "0"]
MAILBOX = "noreply@contoso.com"


def test_graph_is_simulated(tmp_path: Path) -> None:
    """The app that it prints reads the trace and the mailbox with a token of the simulated Entra ID."""
    ca_file = tmp_path / "ca.pem"
    command = [*COMMAND, "--oauth-port", "0", "--graph-port", "0", "--ca-file", str(ca_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if line.startswith("trust"):
                    break
            oauth = re.search(r"OAuth +(\S+), tenant (\S+), client (\S+), secret (\S+)", printed)
            graph = re.search(r"Graph +(\S+), ", printed)
            assert oauth is not None, printed
            assert graph is not None, printed
            authority, tenant, client, secret = oauth.groups()
            form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
            form["scope"] = f"{graph[1]}/.default"
            trust = ssl.create_default_context(cafile=str(ca_file))
            with httpx.Client(verify=trust, trust_env=False) as http:
                answer = http.post(f"{authority}/{tenant}/oauth2/v2.0/token", data=form)
                http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
                for path in (
                    "admin/exchange/tracing/messageTraces",
                    f"users/{MAILBOX}/mailFolders/inbox/messages/delta",
                ):
                    assert http.get(f"{graph[1]}/v1.0/{path}").json()["value"] == []
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0
