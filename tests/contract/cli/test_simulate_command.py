"""`postern simulate --graph`: the simulated services in a process of their own, as an application's tests use them."""

import json
import re
import signal
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from tests.contract.simulator.test_documentation import examples

COMMAND = [sys.executable, "-m", "app", "simulate", "--graph", "--port", "0", "--control-port", "0"]
MAILBOX = "noreply@contoso.com"


def send(host: str, port: int, password: str, trust: ssl.SSLContext) -> None:
    """Send a message to ada@example.net."""
    with smtplib.SMTP(host, port) as client:
        client.starttls(context=trust)
        client.login(MAILBOX, password)
        client.sendmail(MAILBOX, ["ada@example.net"], f"From: {MAILBOX}\r\nSubject: Receipt\r\n\r\nThank you.\r\n")


def test_graph_is_simulated(tmp_path: Path) -> None:
    """The app that it prints reads the trace and the mailbox with a token of the simulated Entra ID.

    The fate of the documentation's example is that of a message that was received before.
    """
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
            smtp = re.search(r"SMTP +(\S+):(\d+),", printed)
            control = re.search(r"fates +(\S+)/fates,", printed)
            assert oauth, printed
            assert graph, printed
            assert smtp, printed
            assert control, printed
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
                send(smtp[1], int(smtp[2]), secret, trust)
                (example,) = (text for text in examples("sh") if "/fates" in text)
                fate = json.loads(example[example.index("{") : example.rindex("}") + 1])
                assert httpx.post(f"{control[1]}/fates", json=fate, trust_env=False).status_code == 201
                (row,) = http.get(f"{graph[1]}/v1.0/admin/exchange/tracing/messageTraces").json()["value"]
                assert (row["recipientAddress"], row["status"]) == (fate["recipient"], "pending")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0
