"""Terminal output of `postern demo`."""

import json
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table

from app.cli.output.terminal import console, styled

_SERVER, _CLIENT = "cyan", "green"
_DONE = (" ✓ ", "green")


def title() -> None:
    """Print the title."""
    console.print(
        Panel.fit(
            Group(
                styled(("Postern", "bold"), "  email relay between your applications and Office 365"),
                styled(("everything below runs on this machine; no mail leaves it", "dim")),
            ),
            border_style="blue",
        )
    )


def step(name: str, address: str) -> None:
    """Print that a part of the demo is ready, and its address."""
    console.print(styled(_DONE, f"{name:<20} {address}"), soft_wrap=True)


def request(url: str, email: dict[str, Any]) -> None:
    """Print the request of the caller."""
    console.print(Rule("1  a caller posts JSON", align="left", style="dim"))
    console.print(f"POST {url}/emails", style="bold")
    console.print(Syntax(json.dumps(email, indent=2, ensure_ascii=False), "json", background_color="default"))


def response(status: int, body: dict[str, Any], seconds: float) -> None:
    """Print the response of Postern."""
    duration = f"  stored on disk after {seconds * 1000:.0f} ms"
    console.print(styled((str(status), "bold"), f" {json.dumps(body)}", (duration, "dim")))


def dialogue(email: dict[str, Any]) -> None:
    """Print the SMTP dialogue and the state of each recipient."""
    relay = email["relay"]
    console.print(Rule("2  Postern relays it", align="left", style="dim"))
    for attempt in relay["attempts"]:
        for line in attempt["dialogue"]:
            console.print(styled((f"  {line}", _CLIENT if line.startswith("C:") else _SERVER)), soft_wrap=True)
    for recipient in relay["recipients"]:
        console.print(styled(_DONE, f"{recipient['address']} ", (recipient["state"], "bold")))
    if relay["explanation"]:
        console.print(f"   {relay['explanation']['summary']} {relay['explanation']['fix']}")


def arrived(content: bytes) -> None:
    """Print the email as the simulated Office 365 received it."""
    message = _parse(content)
    headers = Table(box=None, show_header=False, pad_edge=False)
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        headers.add_row(styled((name, "bold")), str(message[name]))
    body = message.get_body(("plain",))
    text = body.get_content().replace("\r\n", "\n").strip() if body else ""
    console.print(Rule("3  it has arrived", align="left", style="dim"))
    console.print(Panel(Group(headers, "", text), subtitle=f"{len(content)} bytes", border_style="green"))


def next_steps(url: str, simulator: str, key: str, mailbox: str, console_password: str) -> None:
    """Print the API key, the URLs and a command to send another email."""
    body = json.dumps({"from": mailbox, "to": "you@example.net", "subject": "Hello", "text": "It works."})
    console.print(Rule("4  your turn", align="left", style="dim"))
    console.print(styled("API key      ", (key, "bold")), soft_wrap=True)
    access = ("console      ", (f"{url}/console", "bold"), "  password ", (console_password, "bold"))
    console.print(styled(*access), soft_wrap=True)
    console.print(styled("inbox        ", (f"{simulator}/", "bold")), soft_wrap=True)
    console.print("send one:")
    command = f"  curl {url}/emails -H 'Authorization: Bearer {key}' -d '{body}'"
    console.print(styled((command, "bold")), soft_wrap=True)
    console.print(styled(("Press Ctrl-C to stop.", "dim")))


def as_json(**values: str) -> None:
    """Print one line of JSON."""
    print(json.dumps(values), flush=True)


def further_arrival(content: bytes) -> None:
    """Print that another email has arrived."""
    message = _parse(content)
    console.print(styled(_DONE, f"arrived: {message['Subject']} ", (f"for {message['To']}", "dim")))


def stopped() -> None:
    """Print that the demo has stopped."""
    console.print("\nstopped; no process of the demo is running")


def _parse(content: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(content)
