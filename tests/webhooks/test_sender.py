"""Connections of a webhook POST: one checked address, and a certificate of its name."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

import httpcore
import pytest
import trustme

from app.clock import Clock
from app.mail.webhook.rules import EventType
from app.smtp import tls
from app.store.webhooks.records import ClaimedDelivery, Secret, Webhook
from app.webhooks.sender import AddressRefusedError, PublicOnlyBackend, WebhookResponse, WebhookSender
from tests.webhooks.receiver import Receiver, Reply

HOST = "hooks.contoso.com"
PUBLIC, ANOTHER = "93.184.215.14", "2606:4700::6810:84e5"
SECRET = Secret("whsec_" + "A" * 32)


def due() -> ClaimedDelivery:
    """Return any event."""
    return ClaimedDelivery(1, uuid4(), uuid4(), uuid4(), "subject", 0, (), EventType.SENT, '{"type":"email.sent"}')


def webhook(url: str) -> Webhook:
    """Return an endpoint."""
    return Webhook(uuid4(), url, ("email.sent",), 0.0, (SECRET,))


class NameServer:
    """Resolver that returns one result after the other, and the last one repeatedly."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Network(httpcore.AsyncNetworkBackend):
    """Network that records connections, on which only `answering` answers."""

    def __init__(self, *answering: str) -> None:
        self.answering = answering
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.tried.append(host)
        if host not in self.answering:
            raise httpcore.ConnectError("nobody there")
        return httpcore.AsyncNetworkStream()


async def test_dns_rebinding_reaches_no_other_address() -> None:
    """One lookup for each connection, which goes to the checked address."""
    names, road = NameServer([PUBLIC], ["127.0.0.1"]), Network(PUBLIC)
    guard = PublicOnlyBackend(names, allow_private=False, network=road)
    await guard.connect_tcp(HOST, 443)
    assert (names.asked, road.tried) == ([HOST], [PUBLIC])
    with pytest.raises(
        AddressRefusedError, match=r"hooks.contoso.com leads to 127.0.0.1, which is not a public address"
    ):
        await guard.connect_tcp(HOST, 443)
    assert road.tried == [PUBLIC]


async def test_of_several_addresses_the_public_ones_are_tried_in_turn() -> None:
    """A private one among them is skipped."""
    road = Network(ANOTHER)
    await PublicOnlyBackend(NameServer(["10.0.0.1", PUBLIC, ANOTHER]), allow_private=False, network=road).connect_tcp(
        HOST, 443
    )
    assert road.tried == [PUBLIC, ANOTHER]
    with pytest.raises(httpcore.ConnectError):
        await PublicOnlyBackend(NameServer([PUBLIC]), allow_private=False, network=Network()).connect_tcp(HOST, 443)
    with pytest.raises(AddressRefusedError, match="no address"):
        await PublicOnlyBackend(NameServer([]), allow_private=False, network=Network()).connect_tcp(HOST, 443)


Send = Callable[..., Awaitable[WebhookResponse]]


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """Post an event to a receiver with a certificate for `name`, under the name `HOST`."""
    async with AsyncExitStack() as stack:
        authority = trustme.CA()

        async def send(name: str = HOST, *, private: bool = True, trusted: bool = True) -> WebhookResponse:
            there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(there)
            receiver = await stack.enter_async_context(Receiver(tls=there))
            trust = tls.context(None)
            if trusted:
                authority.configure_trust(trust)
            courier = WebhookSender(Clock(), trust, allow_private=private, resolve=NameServer(["127.0.0.1"]))
            stack.push_async_callback(courier.close)
            return await courier.send(webhook(f"https://{HOST}:{receiver.port}/"), due())

        yield send


async def test_the_certificate_must_have_the_name(send: Send) -> None:
    """The connection is to an address, but TLS verifies the name."""
    assert await send() == WebhookResponse(200, "thanks")
    other = await send("elsewhere.contoso.com")
    assert other.status == 0
    assert "CERTIFICATE_VERIFY_FAILED" in other.text
    stranger = await send(trusted=False)
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.text


async def test_a_private_address_gets_no_connection(send: Send) -> None:
    """The name resolves to loopback."""
    answer = await send(private=False)
    assert (answer.status, answer.text.split(",")[0]) == (0, f"{HOST} leads to 127.0.0.1")


async def test_every_network_error_is_a_result() -> None:
    """Refused, unknown name, disconnect, no HTTP."""
    async with Receiver(lambda _: Reply(0)) as receiver:
        courier = WebhookSender(Clock(), tls.context(None), allow_private=True)
        assert (await courier.send(webhook(receiver.url), due())).text.startswith("RemoteProtocolError")
        await receiver.kill()
        assert (await courier.send(webhook(receiver.url), due())).text.startswith("ConnectError")
        unknown = await courier.send(webhook("https://nobody.invalid/"), due())
        assert (unknown.status, unknown.text.split(":")[0]) == (0, "gaierror")
        forbidden = WebhookSender(Clock(), tls.context(None))
        assert "https://" in (await forbidden.send(webhook(receiver.url), due())).text
        await courier.close()
        await forbidden.close()


async def test_a_response_is_read_up_to_a_limit() -> None:
    """Retry-After is parsed as a number or a date."""
    now = Clock(origin=1_800_000_000.0, speed=1e-9)
    values = {"7": 7.0, "Fri, 15 Jan 2027 08:02:00 GMT": 120.0, "soon": 0.0, "-5": 0.0, "²": 0.0, "9" * 30: 999999999.0}
    for given, seconds in values.items():
        reply = Reply(503, {"Retry-After": given}, "x" * 100_000)
        async with Receiver(lambda _, reply=reply: reply) as receiver:  # type: ignore[misc] # a default
            courier = WebhookSender(now, tls.context(None), allow_private=True)
            answer = await courier.send(webhook(receiver.url), due())
            await courier.close()
        assert (answer.status, len(answer.text)) == (503, 500)
        assert answer.retry_after == pytest.approx(seconds, abs=1)


async def test_any_retry_after_gives_a_bounded_delay() -> None:
    """Dates out of range, invalid numbers, text of any length."""
    now = Clock(origin=1_800_000_000.0, speed=1e-9)
    values = (
        *("Fri, 31 Dec 99999 23:59:59 GMT", "Thu, 01 Jan 10000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"),
        *("Mon, 01 Jan 0000 00:00:00 GMT", "Mon, 99 Foo 2027 99:99:99 +9999", "Fri, 31 Dec 9999 23:59:59 -9999", ","),
        *(
            "NaN",
            "inf",
            "-inf",
            "1e999",
            "1.5",
            "-1",
            "0x10",
            "x" * 8000,
            "9" * 8000,
            "Mon, 01 Jan 0001 00:00:00 +0100",
        ),
    )
    for given in values:
        async with Receiver(lambda _, given=given: Reply(503, {"Retry-After": given})) as receiver:  # type: ignore[misc] # a default
            courier = WebhookSender(now, tls.context(None), allow_private=True)
            answer = await courier.send(webhook(receiver.url), due())
            await courier.close()
        assert answer.status == 503, given
        assert 0.0 <= answer.retry_after < 3e11, given


@pytest.mark.parametrize(
    "host",
    ["a..b", ".b", "a" * 64, "a." * 127 + "com", "xn--a" + "b" * 60 + ".example", "[fe80::1%25eth0]", "..", "%00"],
)
@pytest.mark.parametrize("private", [True, False])
async def test_an_unresolvable_host_is_a_failed_attempt(host: str, private: bool) -> None:
    """Also one that was stored before such hosts were refused."""
    courier = WebhookSender(Clock(), tls.context(None), allow_private=private)
    answer = await courier.send(webhook(f"https://{host}/hook"), due())
    await courier.close()
    assert answer.status == 0
    assert answer.text


async def test_an_unencodable_name_is_a_failed_attempt() -> None:
    """The standard library raises UnicodeError for an empty or too long label."""

    async def unable(host: str, port: int) -> Sequence[str]:
        raise UnicodeError("label empty or too long")

    courier = WebhookSender(Clock(), tls.context(None), resolve=unable)
    answer = await courier.send(webhook("https://hooks.contoso.com/"), due())
    await courier.close()
    assert (answer.status, "UnicodeError" in answer.text) == (0, True)


async def test_an_invalid_secret_is_a_failed_attempt() -> None:
    """With its error."""
    broken = Webhook(uuid4(), "https://hooks.contoso.com/", ("email.sent",), 0.0, (Secret("whsec_A"),))
    courier = WebhookSender(Clock(), tls.context(None), resolve=NameServer([PUBLIC]))
    answer = await courier.send(broken, due())
    await courier.close()
    assert (answer.status, answer.text.startswith("It could not be posted (")) == (0, True)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe nonsense\r\n\r\n",
        b"HTTP/1.1 2000 So\r\n\r\n",
        b"HTTP/1.1 999 \xff\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 So\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 So\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 So\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
    ],
)
async def test_an_invalid_http_response_is_a_failed_attempt(garbage: bytes) -> None:
    """Bad lines, lengths, chunks and headers without end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(garbage)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        courier = WebhookSender(Clock(), tls.context(None), allow_private=True)
        answer = await courier.send(webhook(f"http://127.0.0.1:{port}/"), due())
        await courier.close()
    assert answer.status == 0
    assert answer.text.isprintable()
