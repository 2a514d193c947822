"""Command `postern send`: send one email through the HTTP API of a running Postern; a local one without a proxy."""

import ipaddress
import json
from collections.abc import Mapping
from typing import Annotated, Any

import httpx
import typer

from app.cli.exit_codes import Exit, end, report_errors
from app.cli.output.text import AsJson, print_json, print_line
from app.settings import CallerSettings, caller_key, load

_LOCAL_DOMAINS = ("", "localhost", "local", "localdomain", "internal")  # last labels of names in a local network


def send(
    to: Annotated[list[str], typer.Argument(help="Addresses of the recipients.")],
    sender: Annotated[str, typer.Option("--from", help="Sender address, such as `Contoso <noreply@contoso.com>`.")],
    subject: Annotated[str, typer.Option(help="Subject of the email.")] = "A test from Postern",
    text: Annotated[str, typer.Option(help="Text of the email.")] = "If you can read this, the relay works.\n",
    url: Annotated[str, typer.Option(help="URL of Postern.")] = "http://127.0.0.1:8025",
    key: Annotated[
        str | None, typer.Option(help="API key. Prefer POSTERN_API_KEY: other users of the machine can see options.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run `postern send`."""
    secret = _secret(key)
    email = {"from": sender, "to": to, "subject": subject, "text": text}
    response = _post(url, secret, email)
    if not response.is_success:
        raise end(Exit.FAILED, f"{response.status_code} {_member(response, 'message') or response.reason_phrase}")
    id = _member(response, "id")
    if id is None:
        raise end(
            Exit.FAILED, f"{url} returned {response.status_code} without an id. Check that Postern listens there."
        )
    if as_json:
        print_json(response.json())
    else:
        print_line(id)


def is_local(host: str) -> bool:
    """Return whether a host is this machine or in its network, so that no proxy is used."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        return "." not in name or name.rpartition(".")[2] in _LOCAL_DOMAINS
    return not address.is_global


def _secret(key: str | None) -> str:
    with report_errors():
        if key is not None:
            return caller_key("--key", key)
        given = load(CallerSettings).api_key
    if given is None:
        raise end(Exit.CONFIG, "POSTERN_API_KEY: is missing. Set it to an API key (postern keys create NAME).")
    return given.get_secret_value()


def _post(url: str, secret: str, email: Mapping[str, Any]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    try:
        parsed = httpx.URL(f"{url.rstrip('/')}/emails")
        if parsed.userinfo:
            raise end(
                Exit.CONFIG, "--url: contains a user name. Give the address alone, and the API key in POSTERN_API_KEY."
            )
        with httpx.Client(trust_env=not is_local(parsed.host), verify=_trust(), timeout=30) as client:
            return client.post(parsed, content=json.dumps(email), headers=headers)
    except httpx.TransportError as error:
        raise end(Exit.UNAVAILABLE, f"{url} does not answer: {error}. Is `postern serve` running there?") from None
    except httpx.InvalidURL as error:
        raise end(Exit.CONFIG, f"--url: {url} is not a URL: {error}. Give one such as http://127.0.0.1:8025.") from None
    except (ImportError, ValueError) as error:  # from an invalid or SOCKS proxy in the environment
        raise end(Exit.CONFIG, f"The proxy in HTTPS_PROXY or ALL_PROXY cannot be used: {_reason(error)}.") from None


def _trust() -> Any:
    """Return a TLS context with the certificates of httpx and of SSL_CERT_FILE."""
    return httpx.create_ssl_context()


def _reason(error: Exception) -> str:
    return "SOCKS is not supported" if isinstance(error, ImportError) else "it is not an http or https URL"


def _member(response: httpx.Response, name: str) -> str | None:
    try:
        return str(response.json()[name])
    except (ValueError, KeyError, TypeError):
        return None
