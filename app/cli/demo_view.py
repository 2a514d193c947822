"""What the demo shows on the terminal. It only prints."""

import json
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from app.cli.output import console

_SERVER, _CLIENT = "cyan", "green"


def title() -> None:
    """What this is."""
    console.print(
        Panel.fit(
            "[bold]Postern[/]  one gate between your applications and Office 365\n"
            "[dim]everything below runs on this machine; no mail leaves it[/]",
            border_style="blue",
        )
    )


def step(name: str, what: str) -> None:
    """Something has started."""
    console.print(f" [green]✓[/] {name:<20} {escape(what)}", soft_wrap=True)


def request(url: str, email: dict[str, Any]) -> None:
    """What a caller posts."""
    console.print(Rule("1  a caller posts JSON", align="left", style="dim"))
    console.print(f"POST {url}/emails", style="bold")
    console.print(Syntax(json.dumps(email, indent=2, ensure_ascii=False), "json", background_color="default"))


def answer(status: int, body: dict[str, Any], seconds: float) -> None:
    """What it is told."""
    console.print(f"[bold]{status}[/] {escape(json.dumps(body))}  [dim]on the disk, {seconds * 1000:.0f} ms[/]")


def life(email: dict[str, Any]) -> None:
    """The message's life, with its SMTP dialogue."""
    relay = email["relay"]
    console.print(Rule("2  Postern relays it", align="left", style="dim"))
    for attempt in relay["attempts"]:
        for line in attempt["dialogue"]:
            console.print(Text(f"  {line}", style=_CLIENT if line.startswith("C:") else _SERVER), soft_wrap=True)
    for recipient in relay["recipients"]:
        console.print(f" [green]✓[/] {escape(recipient['address'])} [bold]{recipient['state']}[/]")
    if relay["explanation"]:
        console.print(f"   {escape(relay['explanation']['summary'])} {escape(relay['explanation']['fix'])}")


def arrived(content: bytes) -> None:
    """The email as the pretend Office 365 has it."""
    message = _parse(content)
    headers = Table(box=None, show_header=False, pad_edge=False)
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        headers.add_row(f"[bold]{name}[/]", escape(str(message[name])))
    body = message.get_body(("plain",))
    text = escape(body.get_content().strip()) if body else ""
    console.print(Rule("3  it has arrived", align="left", style="dim"))
    console.print(Panel(Group(headers, "", text), subtitle=f"{len(content)} bytes", border_style="green"))


def next_steps(url: str, simulator: str, key: str, mailbox: str, console_password: str) -> None:
    """Where to go from here."""
    body = json.dumps({"from": mailbox, "to": "you@example.net", "subject": "Hello", "text": "It works."})
    console.print(Rule("now you", align="left", style="dim"))
    console.print(f"API key      [bold]{key}[/]", soft_wrap=True)
    console.print(f"console      [bold]{url}/console[/]  password [bold]{console_password}[/]", soft_wrap=True)
    console.print(f"what arrived [bold]{simulator}/messages[/]", soft_wrap=True)
    console.print("send one:")
    console.print(
        f"  curl {url}/emails -H 'Authorization: Bearer {key}' -d '{body}'", soft_wrap=True, markup=False, style="bold"
    )
    console.print("[dim]Ctrl-C ends it.[/]")


def another(content: bytes) -> None:
    """One more has arrived."""
    message = _parse(content)
    console.print(f" [green]✓[/] arrived: {escape(str(message['Subject']))} [dim]for {escape(str(message['To']))}[/]")


def bye() -> None:
    """The end."""
    console.print("\nstopped; nothing of the demo is left running")


def _parse(content: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(content)
