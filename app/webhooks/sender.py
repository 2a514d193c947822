"""Webhook sender: one signed POST of one event to one endpoint, and its signatures.

Signatures follow Standard Webhooks, by its own package; each is sent in two headers, because many receivers expect the
names of Svix. Redirects are not followed and no proxy is used, so that only the endpoint receives the event.

Connections are made to public addresses only (SSRF protection). A name is resolved once, and the connection uses the
address that was checked, which prevents DNS rebinding. TLS still verifies the name.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore
from standardwebhooks import Webhook as Signer

from app import __version__, logs
from app.clock import Clock
from app.mail.retry_schedule import retry_after
from app.mail.safe_text import cut, escape_controls
from app.mail.webhook.rules import TargetError, WebhookTarget, is_public, target
from app.store.webhooks.records import ClaimedDelivery, Secret, Webhook

REQUEST_TIMEOUT = 15.0  # seconds for the whole request
CONNECT_TIMEOUT = 5.0  # seconds for one address, so that a dead one leaves time for the next
IDLE_TIMEOUT = 30.0  # seconds that an idle connection stays open
MAX_CONNECTIONS = 64  # connections
KEPT_RESPONSE_BYTES = 500  # characters of a response that are stored

_PREFIXES = ("webhook", "svix")
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefusedError(Exception):
    """Name without an address that may be connected to. The text is one sentence."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the system's order. Raises OSError, AddressRefusedError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or has more than 63 characters
        raise AddressRefusedError(f"{host} is not a host name.") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PublicOnlyBackend(httpcore.AsyncNetworkBackend):
    """Backend of httpcore over `network` for public addresses. `allow_private`: every address is allowed."""

    def __init__(
        self, resolve: Resolve, *, allow_private: bool, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises AddressRefusedError, OSError, httpcore.ConnectError."""
        failed: Exception = AddressRefusedError(f"{host} has no address.")
        for address in await self._allowed(host, port):
            try:
                return await self._network.connect_tcp(address, port, CONNECT_TIMEOUT, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def _allowed(self, host: str, port: int) -> list[str]:
        addresses = await self._resolve(host, port)
        allowed = [address for address in addresses if self._allow_private or is_public(address)]
        if addresses and not allowed:
            raise AddressRefusedError(
                f"{host} leads to {addresses[0]}, which is not a public address; "
                "POSTERN_WEBHOOK_PRIVATE_ADDRESSES=true allows it."
            )
        return allowed


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """Response to a POST. `status` is 0 if there was none; then `text` is the reason."""

    status: int
    text: str
    retry_after: float = 0.0  # seconds


class WebhookSender:
    """HTTP client for webhook events with a connection pool. `send` raises nothing but CancelledError."""

    def __init__(
        self, clock: Clock, tls_context: ssl.SSLContext, *, allow_private: bool = False, resolve: Resolve = resolve
    ) -> None:
        """`tls_context` verifies the endpoints. `allow_private`: private addresses and plain http are allowed."""
        self._clock = clock
        self._allow_private = allow_private
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=IDLE_TIMEOUT,
            network_backend=PublicOnlyBackend(resolve, allow_private=allow_private),
        )

    async def send(self, webhook: Webhook, due: ClaimedDelivery) -> WebhookResponse:
        """Send one delivery. An error is a response with status 0, so that each attempt is counted."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await self._send(target(webhook.endpoint, private=self._allow_private), webhook, due)
        except TimeoutError:
            return WebhookResponse(0, f"No answer within {REQUEST_TIMEOUT:g} seconds.")
        except (AddressRefusedError, TargetError) as refusal:
            return WebhookResponse(0, str(refusal))
        except (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            return WebhookResponse(0, _line(f"{type(error).__name__}: {error}"))
        except Exception as error:  # an uncounted attempt would be repeated for ever
            logs.crashed(f"webhook request {due.event_id}", error)
            return WebhookResponse(
                0, _line(f"It could not be posted ({type(error).__name__}); the log has the details.")
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _send(self, to: WebhookTarget, webhook: Webhook, due: ClaimedDelivery) -> WebhookResponse:
        body = due.payload.encode()
        url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.path)
        headers = self._headers(to, webhook, due, len(body))
        async with self._pool.stream("POST", url, headers=headers, content=body) as response:
            text = await _first_bytes(response)
            return WebhookResponse(response.status, text, _retry_after(response.headers, self._clock.now()))

    def _headers(
        self, to: WebhookTarget, webhook: Webhook, due: ClaimedDelivery, size: int
    ) -> dict[bytes | str, bytes | str]:
        now = self._clock.now()
        signed = {"id": str(due.event_id), "timestamp": str(math.floor(now))}
        signed["signature"] = signatures(webhook.secrets, due, now)
        return {
            "Host": to.authority,
            "Content-Type": "application/json",
            "Content-Length": str(size),
            "User-Agent": f"Postern/{__version__}",
            **{f"{prefix}-{name}": value for prefix in _PREFIXES for name, value in signed.items()},
        }


def signatures(secrets: Sequence[Secret], due: ClaimedDelivery, now: float) -> str:
    """Return one signature per secret that is valid at `now` (epoch seconds), the current one first."""
    moment = datetime.fromtimestamp(now, UTC)  # the package treats every zone as UTC
    valid = [secret for secret in secrets if secret.until is None or secret.until > now]
    return " ".join(Signer(secret.value).sign(str(due.event_id), moment, due.payload) for secret in valid)


def _line(text: str) -> str:
    """Return `text` shortened and escaped, to be stored and shown."""
    return escape_controls(cut(text, KEPT_RESPONSE_BYTES))


async def _first_bytes(response: httpcore.Response) -> str:
    """Return the first characters of the response; the rest is not read."""
    content = b""
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > 4 * KEPT_RESPONSE_BYTES:
            break
    return content.decode("utf-8", "replace").replace("\0", "")[:KEPT_RESPONSE_BYTES]


def _retry_after(headers: Sequence[tuple[bytes, bytes]], now: float) -> float:
    """Return the seconds of Retry-After; 0 without a valid header."""
    given = next((value.decode("latin-1") for name, value in headers if name.lower() == b"retry-after"), "")
    return retry_after(given, now)
