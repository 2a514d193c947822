"""Where a POST may go: one address that was checked, by a certificate that bears the name."""

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
from app.webhooks.public_network import AddressRefusedError, PublicOnlyBackend
from app.webhooks.sender import WebhookResponse, WebhookSender
from tests.webhooks.receiver import Receiver, Reply

HOST = "hooks.contoso.com"
PUBLIC, ANOTHER = "93.184.215.14", "2606:4700::6810:84e5"
SECRET = Secret("whsec_" + "A" * 32)


def due() -> ClaimedDelivery:
    """Any event."""
    return ClaimedDelivery(1, uuid4(), uuid4(), uuid4(), "subject", 0, (), EventType.SENT, '{"type":"email.sent"}')


def webhook(url: str) -> Webhook:
    """An endpoint."""
    return Webhook(uuid4(), url, ("email.sent",), 0.0, (SECRET,))


class Names:
    """A server of names that gives one answer after the other, the last one for good."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Road(httpcore.AsyncNetworkBackend):
    """A network that notes where one wants to go, and on which nobody answers but `answering`."""

    def __init__(self, *answering: str) -> None:
        self.answering = answering
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.tried.append(host)
        if host not in self.answering:
            raise httpcore.ConnectError("nobody there")
        return httpcore.AsyncNetworkStream()


async def test_a_name_that_changes_its_mind_between_two_questions_leads_nowhere() -> None:
    """DNS rebinding: it is asked once for each connection, and the connection goes to what was checked."""
    names, road = Names([PUBLIC], ["127.0.0.1"]), Road(PUBLIC)
    guard = PublicOnlyBackend(names, allow_private=False, network=road)
    await guard.connect_tcp(HOST, 443)
    assert (names.asked, road.tried) == ([HOST], [PUBLIC])
    with pytest.raises(
        AddressRefusedError, match=r"hooks.contoso.com leads to 127.0.0.1, which is not a public address"
    ):
        await guard.connect_tcp(HOST, 443)
    assert road.tried == [PUBLIC]


async def test_of_several_addresses_the_public_ones_are_tried_in_turn() -> None:
    """A private one among them is passed over."""
    road = Road(ANOTHER)
    await PublicOnlyBackend(Names(["10.0.0.1", PUBLIC, ANOTHER]), allow_private=False, network=road).connect_tcp(
        HOST, 443
    )
    assert road.tried == [PUBLIC, ANOTHER]
    with pytest.raises(httpcore.ConnectError):
        await PublicOnlyBackend(Names([PUBLIC]), allow_private=False, network=Road()).connect_tcp(HOST, 443)
    with pytest.raises(AddressRefusedError, match="no address"):
        await PublicOnlyBackend(Names([]), allow_private=False, network=Road()).connect_tcp(HOST, 443)


Send = Callable[..., Awaitable[WebhookResponse]]


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """Post an event to a receiver with a certificate for `name`, which a courier is told is at `HOST`."""
    async with AsyncExitStack() as stack:
        authority = trustme.CA()

        async def send(name: str = HOST, *, private: bool = True, trusted: bool = True) -> WebhookResponse:
            there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(there)
            receiver = await stack.enter_async_context(Receiver(tls=there))
            trust = tls.context(None)
            if trusted:
                authority.configure_trust(trust)
            courier = WebhookSender(Clock(), trust, allow_private=private, resolve=Names(["127.0.0.1"]))
            stack.push_async_callback(courier.close)
            return await courier.send(webhook(f"https://{HOST}:{receiver.port}/"), due())

        yield send


async def test_the_certificate_has_to_bear_the_name(send: Send) -> None:
    """The connection goes to an address, and TLS verifies the name all the same."""
    assert await send() == WebhookResponse(200, "thanks")
    other = await send("elsewhere.contoso.com")
    assert other.status == 0
    assert "CERTIFICATE_VERIFY_FAILED" in other.text
    stranger = await send(trusted=False)
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.text


async def test_what_is_private_is_not_even_greeted(send: Send) -> None:
    """The name resolves to loopback."""
    answer = await send(private=False)
    assert (answer.status, answer.text.split(",")[0]) == (0, f"{HOST} leads to 127.0.0.1")


async def test_whatever_goes_wrong_is_an_answer() -> None:
    """Nobody listens, the name is unknown, the peer hangs up or speaks no HTTP."""
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


async def test_an_answer_is_read_as_far_as_a_person_reads() -> None:
    """However long it is; and when it asks for time, as a number or a date, that is understood."""
    now = Clock(origin=1_800_000_000.0, speed=1e-9)
    wishes = {"7": 7.0, "Fri, 15 Jan 2027 08:02:00 GMT": 120.0, "soon": 0.0, "-5": 0.0, "²": 0.0, "9" * 30: 999999999.0}
    for given, seconds in wishes.items():
        reply = Reply(503, {"Retry-After": given}, "x" * 100_000)
        async with Receiver(lambda _, reply=reply: reply) as receiver:  # type: ignore[misc] # a default
            courier = WebhookSender(now, tls.context(None), allow_private=True)
            answer = await courier.send(webhook(receiver.url), due())
            await courier.close()
        assert (answer.status, len(answer.text)) == (503, 500)
        assert answer.retry_after == pytest.approx(seconds, abs=1)


async def test_a_wish_for_time_never_breaks_a_try() -> None:
    """Dates out of every range, numbers that are none, text of any length: no error, and a bounded wait."""
    now = Clock(origin=1_800_000_000.0, speed=1e-9)
    wishes = (
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
    for given in wishes:
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
async def test_a_host_that_no_name_server_can_be_asked_for_is_a_failed_try(host: str, private: bool) -> None:
    """Also one that was stored before such hosts were refused."""
    courier = WebhookSender(Clock(), tls.context(None), allow_private=private)
    answer = await courier.send(webhook(f"https://{host}/hook"), due())
    await courier.close()
    assert answer.status == 0
    assert answer.text


async def test_a_resolver_that_cannot_encode_a_name_is_a_failed_try() -> None:
    """UnicodeError is what the standard library raises for an empty or too long label."""

    async def unable(host: str, port: int) -> Sequence[str]:
        raise UnicodeError("label empty or too long")

    courier = WebhookSender(Clock(), tls.context(None), resolve=unable)
    answer = await courier.send(webhook("https://hooks.contoso.com/"), due())
    await courier.close()
    assert (answer.status, "UnicodeError" in answer.text) == (0, True)


async def test_a_secret_that_cannot_sign_is_a_failed_try() -> None:
    """The try is counted and says which error it was."""
    broken = Webhook(uuid4(), "https://hooks.contoso.com/", ("email.sent",), 0.0, (Secret("whsec_A"),))
    courier = WebhookSender(Clock(), tls.context(None), resolve=Names([PUBLIC]))
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
async def test_an_answer_that_is_no_http_is_a_failed_try(garbage: bytes) -> None:
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
