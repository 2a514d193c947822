"""A session from TCP to login, step by step, so that the phase is known at each. The only importer of aiosmtplib.

aiosmtplib speaks: greeting, EHLO, STARTTLS, AUTH. Our Channel sits between it and the transport and hears
everything first, so that nothing said out of turn is overlooked; after the login it is alone on the transport.
No secret and no mail leaves before the certificate and the host name are verified. No type of aiosmtplib's escapes.
"""

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import aiosmtplib

from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.reply import Reply
from app.smtp import tls
from app.smtp.auth.credentials import Credentials, Mechanism, Secret
from app.smtp.auth.failure import CredentialError
from app.smtp.failure import ConnectionLostError, classify, session_error
from app.smtp.happy_eyeballs import connect
from app.smtp.phase_timer import PhaseTimer
from app.smtp.protocol import SmtpChannel, readable
from app.smtp.session import Session
from app.smtp.timeouts import Timeouts
from app.smtp.transcript import Transcript, mask

__all__ = [
    "Refusal",
    "ServerInfo",
    "Session",
    "TlsInfo",
    "Upstream",
    "greet",
    "inspect_certificate",
    "open_session",
]

_BUFFER = 128 * 1024  # octets in the transport before writing pauses
_CHALLENGE = 334
_CREDENTIALS_INVALID = 535
_SUCCESS, _REFUSAL, _LAST_CODE = 200, 400, 599
_Speak = Callable[[], Awaitable[aiosmtplib.SMTPResponse]]
_Step = Callable[[], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where to relay to and how. `tls` must verify chain and host name, and ask for TLS 1.2 at least."""

    host: str
    port: int
    ehlo_name: str
    tls: ssl.SSLContext
    ipv4_only: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        """Refuse a context that would let an unverified server through."""
        if not tls.is_verifying(self.tls):
            raise ValueError("the TLS context does not verify the server")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server answered a step with 4yz or 5yz, or the login with one more challenge. The connection is closed."""

    phase: Phase
    reply: Reply
    dialogue: tuple[Line, ...]

    @property
    def login_rejected(self) -> bool:
        """True if the server did not accept the secret (RFC 4954 §6), or asked for more after it."""
        return self.phase is Phase.AUTH and self.reply.code in (_CREDENTIALS_INVALID, _CHALLENGE)


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What a server shows in the TLS handshake: the version, the cipher, its own certificate (DER)."""

    version: str
    cipher: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says before a login. `extensions` as offered under TLS: keyword in upper case, parameters."""

    banner: str
    tls: TlsInfo
    extensions: Mapping[str, str]


async def open_session(upstream: Upstream, credentials: Credentials) -> Session | Refusal:
    """Connect, encrypt, verify and log in. Raises SessionFailed when a step got no reply or cannot be taken.

    When the login is refused and the credentials have another secret for it (a new token), it is tried once more.
    """
    secret = await _secret(credentials)
    opened = await _log_in(upstream, secret)
    if isinstance(opened, Refusal) and opened.login_rejected and credentials.reject(secret):
        opened = await _log_in(upstream, await _secret(credentials), opened.dialogue)
    return opened


async def greet(upstream: Upstream) -> ServerInfo | Refusal:
    """Connect, encrypt, verify, and say goodbye instead of logging in. Raises SessionFailed."""
    return await _Handshake(upstream, await _connected(upstream), upstream.tls).greet()


async def inspect_certificate(upstream: Upstream) -> TlsInfo | Refusal:
    """Who answers there, without believing it: nothing is said after the handshake. Raises SessionFailed.

    For a person who must find out whose certificate it is that cannot be trusted.
    """
    return await _Handshake(upstream, await _connected(upstream), tls.unverified_context()).look()


async def _secret(credentials: Credentials) -> Secret:
    try:
        return await credentials.secret()
    except CredentialError as error:
        raise session_error(Phase.AUTH, FailureKind.CREDENTIAL, str(error), code=error.code) from None


async def _log_in(upstream: Upstream, secret: Secret, before: tuple[Line, ...] = ()) -> Session | Refusal:
    return await _Handshake(upstream, await _connected(upstream), upstream.tls, before).log_in(secret)


async def _connected(upstream: Upstream) -> socket.socket:
    seconds, watch = upstream.timeouts.connect, PhaseTimer(Phase.CONNECT)
    try:
        return await connect(upstream.host, upstream.port, ipv4_only=upstream.ipv4_only, seconds=seconds)
    finally:
        watch.stop()


class _Handshake:
    """The steps between TCP and the first MAIL. Used once."""

    def __init__(
        self, upstream: Upstream, sock: socket.socket, context: ssl.SSLContext, before: tuple[Line, ...] = ()
    ) -> None:
        self._upstream = upstream
        self._sock = sock
        self._hidden: tuple[str, ...] = ()  # what must not be seen in a reply
        self._watch = PhaseTimer(Phase.GREETING)
        self._dialogue = Transcript(before)
        self._shown: TlsInfo | None = None  # since the handshake
        self._channel: SmtpChannel | None = None
        self._smtp = aiosmtplib.SMTP(
            hostname=upstream.host,
            sock=sock,
            local_hostname=upstream.ehlo_name,
            start_tls=False,  # a step of its own
            tls_context=context,
            timeout=None,  # ours
        )

    async def log_in(self, secret: Secret) -> Session | Refusal:
        """Every step, or none: the connection is closed."""
        login = partial(self._login, secret)
        refused = await self._walk(self._greeting, self._ehlo, self._starttls, self._ehlo_again, login)
        return refused or self._take_over()

    async def greet(self) -> ServerInfo | Refusal:
        """All but the login."""
        refused = await self._walk(self._greeting, self._ehlo, self._starttls, self._look_at, self._ehlo_again)
        return refused or await self._goodbye()

    async def look(self) -> TlsInfo | Refusal:
        """As far as the handshake, and away."""
        refused = await self._walk(self._greeting, self._ehlo, self._starttls, self._look_at)
        if refused is not None:
            return refused
        self._abort()
        return cast("TlsInfo", self._shown)  # the last step

    async def _walk(self, *steps: _Step) -> Refusal | None:
        """Take every step, or close the connection."""
        try:
            for step in steps:
                if (refusal := await step()) is not None:
                    return await self._refused(refusal)
        except (ConnectionLostError, aiosmtplib.SMTPException, OSError) as error:
            kind, detail = self._why(error)
            self._abort()
            raise session_error(self._watch.phase, kind, detail, self._dialogue.lines()) from None
        except BaseException:
            self._abort()
            raise
        finally:
            self._watch.stop()
        return None

    # The steps: each returns a refusal, or None to go on.

    async def _greeting(self) -> Reply | None:
        refusal = await self._step(Phase.GREETING, "", self._upstream.timeouts.greeting, self._smtp.connect)
        if refusal is None:
            self._listen()
        return refusal

    async def _ehlo(self, phase: Phase = Phase.EHLO) -> Reply | None:
        command = f"EHLO {self._upstream.ehlo_name}"
        return await self._step(phase, command, self._upstream.timeouts.ehlo, self._smtp.ehlo)

    async def _starttls(self) -> Reply | None:
        self._watch.enter(Phase.STARTTLS)
        if not self._smtp.supports_extension("starttls"):
            raise ConnectionLostError(FailureKind.TLS, f"{self._upstream.host} does not offer STARTTLS.")
        plain = self._channel
        refusal = await self._step(Phase.STARTTLS, "STARTTLS", self._upstream.timeouts.starttls, self._smtp.starttls)
        if refusal is not None:
            return refusal
        if plain is not None and plain.has_unread:  # aiosmtplib would discard it (RFC 3207 §4.2)
            raise ConnectionLostError(FailureKind.TLS, "Somebody sent plain text after STARTTLS, before TLS began.")
        self._listen()
        return None

    async def _look_at(self) -> Reply | None:
        """Keep what the handshake has shown while the transport is there; aiosmtplib raises when it is not."""
        handshake: ssl.SSLObject = self._smtp.get_transport_info("ssl_object")
        cipher = handshake.cipher()
        certificate = handshake.getpeercert(binary_form=True)
        self._shown = TlsInfo(handshake.version() or "", cipher[0] if cipher else "", certificate or b"")
        return None

    async def _ehlo_again(self) -> Reply | None:
        """What was offered in plain text counts for nothing (RFC 3207 §4.2). The phase does not go back."""
        return await self._ehlo(Phase.STARTTLS)

    async def _login(self, secret: Secret) -> Reply | None:
        self._watch.enter(Phase.AUTH)
        self._hidden = _hidden(secret)
        offered = self._smtp.server_auth_methods
        if secret.mechanism.lower() not in offered:
            instead = ", ".join(offered).upper() or "no login at all"
            lacking = f"{self._upstream.host} does not offer AUTH {secret.mechanism}; it offers {instead}."
            raise ConnectionLostError(FailureKind.CAPABILITY, lacking)
        log_in = self._smtp.auth_login if secret.mechanism is Mechanism.LOGIN else self._smtp.auth_xoauth2
        command = f"AUTH {secret.mechanism} ****"
        seconds = self._upstream.timeouts.auth
        return await self._step(Phase.AUTH, command, seconds, partial(log_in, secret.username, secret.value))

    async def _step(self, phase: Phase, command: str, seconds: float, speak: _Speak) -> Reply | None:
        """One exchange. A refusal is returned; anything else but success raises.

        A login that ends with another challenge is a refusal: there is no more to send (RFC 4954 §4).
        """
        self._watch.enter(phase)
        if self._channel is not None and self._channel.has_unread:
            return self._judged(await self._channel.read_reply(seconds), wanted=False)
        if command:
            self._dialogue.add_command(command)
        try:
            async with asyncio.timeout(seconds):
                code, text = await speak()
        except aiosmtplib.SMTPResponseException as answer:
            code, text = answer.code, answer.message
        if not _SUCCESS <= code <= _LAST_CODE:
            raise ConnectionLostError(FailureKind.PROTOCOL, f"{self._upstream.host} sent what is not SMTP.")
        self._hear()
        return self._judged(Reply.of(code, [readable(line) for line in self._masked(text).split("\n")]))

    def _judged(self, reply: Reply, *, wanted: bool = True) -> Reply | None:
        self._dialogue.add_reply(reply)
        if reply.code >= _REFUSAL or (wanted and self._watch.phase is Phase.AUTH and reply.code == _CHALLENGE):
            return reply
        if not (wanted and reply.positive):
            raise ConnectionLostError(FailureKind.PROTOCOL, f"{self._upstream.host} answered {reply.code} out of turn.")
        return None

    # The transport between aiosmtplib and us.

    def _listen(self) -> None:
        """Put a Channel before aiosmtplib's protocol on its present transport."""
        if self._smtp.transport is None:
            raise ConnectionLostError(FailureKind.CLOSED, f"{self._upstream.host} closed the connection.")
        transport = cast("asyncio.Transport", self._smtp.transport)  # it says BaseTransport
        transport.set_write_buffer_limits(high=_BUFFER)
        self._channel = SmtpChannel(transport, self._smtp.protocol)
        transport.set_protocol(self._channel)

    def _hear(self) -> None:
        """Forget what aiosmtplib has read of what the Channel heard: challenges, then one reply."""
        while self._channel is not None and (heard := self._channel.buffered_reply()) is not None:
            if heard.code != _CHALLENGE:
                return

    def _take_over(self) -> Session:
        channel = cast("SmtpChannel", self._channel)  # set since the greeting
        channel.listener = None
        return Session(channel, self._extensions(), self._upstream.timeouts, self._dialogue.lines())

    def _extensions(self) -> dict[str, str]:
        return {keyword.upper(): value for keyword, value in self._smtp.esmtp_extensions.items()}

    # The end without a session.

    async def _goodbye(self) -> ServerInfo:
        shown = cast("TlsInfo", self._shown)  # a step before
        greeted = ServerInfo(self._dialogue.lines()[0].text, shown, self._extensions())
        await self._quit()
        return greeted

    async def _refused(self, reply: Reply) -> Refusal:
        if reply.code == _CHALLENGE:
            await self._cancel_login()
        await self._quit()
        return Refusal(self._watch.phase, reply, self._dialogue.lines())

    async def _cancel_login(self) -> None:
        """Answer a challenge with `*` (RFC 4954 §4), so that QUIT is not taken for a part of the login."""
        channel = cast("SmtpChannel", self._channel)  # a login comes after the greeting
        channel.listener = None
        with suppress(ConnectionLostError):
            channel.write(b"*\r\n")
            await channel.read_reply(self._upstream.timeouts.quit)

    async def _quit(self) -> None:
        if self._channel is not None:
            self._channel.listener = None
            await self._channel.quit(self._upstream.timeouts.quit)

    def _abort(self) -> None:
        if self._channel is not None:
            self._channel.listener = None
            self._channel.abort(FailureKind.STOPPED, "The session was not opened.")
        self._sock.close()  # a no-op once a transport has closed it

    def _why(self, error: Exception) -> tuple[FailureKind, str]:
        if self._channel is not None and self._channel.lost is not None:
            error = self._channel.lost
        return (
            (error.kind, error.detail)
            if isinstance(error, ConnectionLostError)
            else classify(error, self._upstream.host)
        )

    def _masked(self, text: str) -> str:
        """Exchange echoes commands it does not know, and a line of a login out of step would be one."""
        return mask(text, self._hidden) if self._hidden else text


def _hidden(secret: Secret) -> tuple[str, ...]:
    bearer = f"user={secret.username}\x01auth=Bearer {secret.value}\x01\x01"
    return (secret.value, *(base64.b64encode(it.encode()).decode() for it in (secret.value, bearer)))
