"""`postern send`: one email through a running Postern, as any caller sends it."""

import os
from typing import Annotated

import httpx
import typer

from app.cli.exits import Exit, end
from app.cli.output import say


def send(
    to: Annotated[list[str], typer.Argument(help="Recipients.")],
    sender: Annotated[str, typer.Option("--from", help="Sender, such as `Contoso <noreply@contoso.com>`.")],
    subject: Annotated[str, typer.Option(help="Subject.")] = "A test from Postern",
    text: Annotated[str, typer.Option(help="Text.")] = "If you can read this, the relay works.\n",
    url: Annotated[str, typer.Option(help="Where Postern listens.")] = "http://127.0.0.1:8025",
    key: Annotated[
        str | None, typer.Option(help="API key; better in POSTERN_API_KEY, where other users cannot see it.")
    ] = None,
) -> None:
    """Send one email and print its id."""
    secret = key or os.environ.get("POSTERN_API_KEY")
    if not secret:
        raise end(Exit.CONFIG, "POSTERN_API_KEY: is missing. Set it to an API key (postern keys create NAME).")
    email = {"from": sender, "to": to, "subject": subject, "text": text}
    try:
        answer = httpx.post(f"{url}/emails", json=email, headers={"Authorization": f"Bearer {secret}"}, timeout=30)
    except httpx.TransportError as error:
        raise end(Exit.UNAVAILABLE, f"{url} does not answer: {error}. Is `postern serve` running there?") from None
    if not answer.is_success:
        raise end(Exit.FAILED, f"{answer.status_code} {_said(answer)}")
    say(str(answer.json()["id"]))


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
