"""Opening of an SMTP session: TCP, greeting, EHLO, STARTTLS, EHLO, AUTH (RFC 5321 §3.1, RFC 3207, RFC 4954).

aiosmtplib sends the commands. An SmtpChannel between it and the transport parses every reply first, and detects a reply
without a command, such as plain text injected before TLS (RFC 3207 §4.2). After the login the channel alone owns the
transport. No secret and no mail is sent before certificate and host name are verified.
This is the only module that imports aiosmtplib; none of its types leave it.
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

from app.mail.outcome.attempt import FailureKind, Line, Phase, Reply
from app.smtp import tls
from app.smtp.auth.credentials import CredentialError, Credentials, LoginSecret, Mechanism
from app.smtp.failure import ConnectionLostError, classify, session_error
from app.smtp.happy_eyeballs import connect
from app.smtp.protocol import SmtpChannel, Timeouts, readable
from app.smtp.session import Session
from app.smtp.transcript import PhaseTimer, Transcript, mask

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

_WRITE_BUFFER_BYTES = 128 * 1024  # in the transport, before it pauses writing
_CHALLENGE = 334
_CREDENTIALS_INVALID = 535
_SUCCESS, _REFUSAL, _LAST_CODE = 200, 400, 599
_SendCommand = Callable[[], Awaitable[aiosmtplib.SMTPResponse]]
_Step = Callable[[], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Address of an SMTP server and the options of its connections.

    `tls` must verify the chain and the host name and require TLS 1.2 or newer; else ValueError.
    """

    host: str
    port: int
    ehlo_name: str
    tls: ssl.SSLContext
    ipv4_only: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        """Check that the TLS context verifies the server."""
        if not tls.is_verifying(self.tls):
            raise ValueError("the TLS context does not verify the server")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Negative reply (4yz, 5yz) to a step of the handshake, or an unexpected challenge (334) to AUTH.

    The connection is closed.
    """

    phase: Phase
    reply: Reply
    dialogue: tuple[Line, ...]

    @property
    def login_rejected(self) -> bool:
        """True if the server rejected the secret (535, RFC 4954 §6) or answered it with another challenge."""
        return self.phase is Phase.AUTH and self.reply.code in (_CREDENTIALS_INVALID, _CHALLENGE)


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """Result of a TLS handshake: version, cipher, certificate of the server (DER)."""

    version: str
    cipher: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Greeting, TLS parameters and EHLO extensions of a server before a login.

    `extensions` maps the keyword in upper case to its parameters, as announced under TLS.
    """

    banner: str
    tls: TlsInfo
    extensions: Mapping[str, str]


async def open_session(upstream: Upstream, credentials: Credentials) -> Session | Refusal:
    """Connect, start TLS, verify the server and log in.

    If the server rejects the login and the credentials can supply another secret (a new token), it logs in once more.
    Raises SessionError when a step gets no reply or cannot be taken.
    """
    secret = await _secret(credentials)
    opened = await _log_in(upstream, secret)
    if isinstance(opened, Refusal) and opened.login_rejected and credentials.reject(secret):
        opened = await _log_in(upstream, await _secret(credentials), opened.dialogue)
    return opened


async def greet(upstream: Upstream) -> ServerInfo | Refusal:
    """Connect, start TLS, verify the server and QUIT without a login. Raises SessionError."""
    return await _Handshake(upstream, await _connect(upstream), upstream.tls).greet()


async def inspect_certificate(upstream: Upstream) -> TlsInfo | Refusal:
    """Return the certificate that a server presents, without verification. For diagnosis. Raises SessionError.

    The connection is closed right after the TLS handshake.
    """
    return await _Handshake(upstream, await _connect(upstream), tls.unverified_context()).inspect_certificate()


async def _secret(credentials: Credentials) -> LoginSecret:
    try:
        return await credentials.secret()
    except CredentialError as error:
        raise session_error(Phase.AUTH, FailureKind.CREDENTIAL, str(error), code=error.code) from None


async def _log_in(upstream: Upstream, secret: LoginSecret, before: tuple[Line, ...] = ()) -> Session | Refusal:
    return await _Handshake(upstream, await _connect(upstream), upstream.tls, before).log_in(secret)


async def _connect(upstream: Upstream) -> socket.socket:
    seconds, timer = upstream.timeouts.connect, PhaseTimer(Phase.CONNECT)
    try:
        return await connect(upstream.host, upstream.port, ipv4_only=upstream.ipv4_only, seconds=seconds)
    finally:
        timer.stop()


class _Handshake:
    """Steps between the TCP connection and the first MAIL command. An instance serves one connection."""

    def __init__(
        self, upstream: Upstream, sock: socket.socket, context: ssl.SSLContext, before: tuple[Line, ...] = ()
    ) -> None:
        self._upstream = upstream
        self._sock = sock
        self._secrets: tuple[str, ...] = ()  # masked in replies
        self._timer = PhaseTimer(Phase.GREETING)
        self._dialogue = Transcript(before)
        self._tls_info: TlsInfo | None = None  # set by _read_tls_info
        self._channel: SmtpChannel | None = None
        self._smtp = aiosmtplib.SMTP(
            hostname=upstream.host,
            sock=sock,
            local_hostname=upstream.ehlo_name,
            start_tls=False,  # _starttls does it
            tls_context=context,
            timeout=None,  # _step sets the timeouts
        )

    async def log_in(self, secret: LoginSecret) -> Session | Refusal:
        """Run all steps up to the login."""
        auth = partial(self._auth, secret)
        refused = await self._run(self._greeting, self._ehlo, self._starttls, self._ehlo_again, auth)
        return refused or self._take_over()

    async def greet(self) -> ServerInfo | Refusal:
        """Run all steps except the login, then QUIT."""
        refused = await self._run(self._greeting, self._ehlo, self._starttls, self._read_tls_info, self._ehlo_again)
        return refused or await self._quit_with_info()

    async def inspect_certificate(self) -> TlsInfo | Refusal:
        """Run the steps up to the TLS handshake, then close the connection."""
        refused = await self._run(self._greeting, self._ehlo, self._starttls, self._read_tls_info)
        if refused is not None:
            return refused
        self._abort()
        return cast("TlsInfo", self._tls_info)  # set by the last step

    async def _run(self, *steps: _Step) -> Refusal | None:
        """Run the steps in order; close the connection at the first refusal or failure."""
        try:
            for step in steps:
                if (refusal := await step()) is not None:
                    return await self._close_after_refusal(refusal)
        except (ConnectionLostError, aiosmtplib.SMTPException, OSError) as error:
            kind, detail = self._classify(error)
            self._abort()
            raise session_error(self._timer.phase, kind, detail, self._dialogue.lines()) from None
        except BaseException:
            self._abort()
            raise
        finally:
            self._timer.stop()
        return None

    # Steps. Each returns the negative reply, or None on success.

    async def _greeting(self) -> Reply | None:
        refusal = await self._step(Phase.GREETING, "", self._upstream.timeouts.greeting, self._smtp.connect)
        if refusal is None:
            self._attach_channel()
        return refusal

    async def _ehlo(self, phase: Phase = Phase.EHLO) -> Reply | None:
        command = f"EHLO {self._upstream.ehlo_name}"
        return await self._step(phase, command, self._upstream.timeouts.ehlo, self._smtp.ehlo)

    async def _starttls(self) -> Reply | None:
        self._timer.enter(Phase.STARTTLS)
        if not self._smtp.supports_extension("starttls"):
            raise ConnectionLostError(FailureKind.TLS, f"{self._upstream.host} does not offer STARTTLS.")
        plain = self._channel
        refusal = await self._step(Phase.STARTTLS, "STARTTLS", self._upstream.timeouts.starttls, self._smtp.starttls)
        if refusal is not None:
            return refusal
        if plain is not None and plain.has_unread:  # aiosmtplib would discard it (RFC 3207 §4.2)
            raise ConnectionLostError(FailureKind.TLS, "The server sent plain text after STARTTLS, before TLS began.")
        self._attach_channel()
        return None

    async def _read_tls_info(self) -> Reply | None:
        """Store the result of the TLS handshake. aiosmtplib raises if the transport is closed."""
        handshake: ssl.SSLObject = self._smtp.get_transport_info("ssl_object")
        cipher = handshake.cipher()
        certificate = handshake.getpeercert(binary_form=True)
        self._tls_info = TlsInfo(handshake.version() or "", cipher[0] if cipher else "", certificate or b"")
        return None

    async def _ehlo_again(self) -> Reply | None:
        """Send EHLO again: extensions announced before TLS are void (RFC 3207 §4.2). The phase stays STARTTLS."""
        return await self._ehlo(Phase.STARTTLS)

    async def _auth(self, secret: LoginSecret) -> Reply | None:
        self._timer.enter(Phase.AUTH)
        self._secrets = _encodings(secret)
        offered = self._smtp.server_auth_methods
        if secret.mechanism.lower() not in offered:
            instead = ", ".join(offered).upper() or "no authentication"
            detail = f"{self._upstream.host} does not offer AUTH {secret.mechanism}; it offers {instead}."
            raise ConnectionLostError(FailureKind.CAPABILITY, detail)
        authenticate = self._smtp.auth_login if secret.mechanism is Mechanism.LOGIN else self._smtp.auth_xoauth2
        command = f"AUTH {secret.mechanism} ****"
        seconds = self._upstream.timeouts.auth
        return await self._step(Phase.AUTH, command, seconds, partial(authenticate, secret.username, secret.value))

    async def _step(self, phase: Phase, command: str, seconds: float, send: _SendCommand) -> Reply | None:
        """Send one command and return its negative reply, or None on success.

        A further challenge at the end of AUTH counts as negative (RFC 4954 §4).
        Raises ConnectionLostError for a reply that is neither, and when no reply arrives.
        """
        self._timer.enter(phase)
        if self._channel is not None and self._channel.has_unread:
            return self._evaluate(await self._channel.read_reply(seconds), expected=False)
        if command:
            self._dialogue.add_command(command)
        try:
            async with asyncio.timeout(seconds):
                code, text = await send()
        except aiosmtplib.SMTPResponseException as answer:
            code, text = answer.code, answer.message
        if not _SUCCESS <= code <= _LAST_CODE:
            raise ConnectionLostError(FailureKind.PROTOCOL, f"{self._upstream.host} sent data that is not SMTP.")
        self._skip_read_replies()
        return self._evaluate(Reply.of(code, [readable(line) for line in self._masked(text).split("\n")]))

    def _evaluate(self, reply: Reply, *, expected: bool = True) -> Reply | None:
        self._dialogue.add_reply(reply)
        if reply.code >= _REFUSAL or (expected and self._timer.phase is Phase.AUTH and reply.code == _CHALLENGE):
            return reply
        if not (expected and reply.positive):
            raise ConnectionLostError(
                FailureKind.PROTOCOL, f"{self._upstream.host} answered {reply.code} out of sequence."
            )
        return None

    # Transport, shared by aiosmtplib and the channel.

    def _attach_channel(self) -> None:
        """Put an SmtpChannel between the current transport and the protocol of aiosmtplib."""
        if self._smtp.transport is None:
            raise ConnectionLostError(FailureKind.CLOSED, f"{self._upstream.host} closed the connection.")
        transport = cast("asyncio.Transport", self._smtp.transport)  # aiosmtplib types it as BaseTransport
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._channel = SmtpChannel(transport, self._smtp.protocol)
        transport.set_protocol(self._channel)

    def _skip_read_replies(self) -> None:
        """Discard from the channel the replies that aiosmtplib has processed: challenges, then one final reply."""
        while self._channel is not None and (reply := self._channel.buffered_reply()) is not None:
            if reply.code != _CHALLENGE:
                return

    def _take_over(self) -> Session:
        channel = cast("SmtpChannel", self._channel)  # set by the greeting
        channel.listener = None
        return Session(channel, self._extensions(), self._upstream.timeouts, self._dialogue.lines())

    def _extensions(self) -> dict[str, str]:
        return {keyword.upper(): value for keyword, value in self._smtp.esmtp_extensions.items()}

    # End of a connection without a session.

    async def _quit_with_info(self) -> ServerInfo:
        tls_info = cast("TlsInfo", self._tls_info)  # set by a step before
        info = ServerInfo(self._dialogue.lines()[0].text, tls_info, self._extensions())
        await self._quit()
        return info

    async def _close_after_refusal(self, reply: Reply) -> Refusal:
        if reply.code == _CHALLENGE:
            await self._cancel_login()
        await self._quit()
        return Refusal(self._timer.phase, reply, self._dialogue.lines())

    async def _cancel_login(self) -> None:
        """Cancel AUTH with `*` (RFC 4954 §4); else the server reads QUIT as the answer to its challenge."""
        channel = cast("SmtpChannel", self._channel)  # set by the greeting
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
        self._sock.close()  # has no effect if the transport has closed it

    def _classify(self, error: Exception) -> tuple[FailureKind, str]:
        if self._channel is not None and self._channel.lost is not None:
            error = self._channel.lost
        return (
            (error.kind, error.detail)
            if isinstance(error, ConnectionLostError)
            else classify(error, self._upstream.host)
        )

    def _masked(self, text: str) -> str:
        """Mask secrets in a reply: Exchange echoes an unknown command, which can be a line of AUTH out of sequence."""
        return mask(text, self._secrets) if self._secrets else text


def _encodings(secret: LoginSecret) -> tuple[str, ...]:
    bearer = f"user={secret.username}\x01auth=Bearer {secret.value}\x01\x01"
    return (secret.value, *(base64.b64encode(text.encode()).decode() for text in (secret.value, bearer)))
