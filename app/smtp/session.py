"""SMTP mail transactions (RFC 5321 §3.3): MAIL, RCPT, DATA, dot-stuffed content, final dot.

With PIPELINING (RFC 2920) a transaction takes two round trips on an open session.

Rule 1: the phase only moves forward, and becomes DOT before the write that contains the final dot.
Rule 2: that write is the last one, happens only after `before_dot` returned True, and only if the server has sent no
        reply out of sequence.
Rule 3: a transaction that ends without a reply to the dot closes the connection immediately, so that no buffered
        byte is sent later.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Line, Phase, Reply
from app.smtp.failure import ConnectionLostError, SessionError
from app.smtp.protocol import SmtpChannel, Timeouts
from app.smtp.transcript import PhaseTimer, Transcript

BeforeDot = Callable[[], Awaitable[bool]]
CHUNK_BYTES = 64 * 1024  # of content before dot-stuffing; a large message is never copied as a whole
_LF = 0x0A
_GO_AHEAD = 354
_CLOSING = 421
_REFUSAL = 400


class Session:
    """Authenticated SMTP session over verified TLS, used by one task at a time.

    The owner (the pool) ends it: with `quit` in an orderly way, with `abort` if nothing more may be sent.
    """

    def __init__(
        self,
        channel: SmtpChannel,
        extensions: Mapping[str, str],
        timeouts: Timeouts,
        dialogue: tuple[Line, ...] = (),
    ) -> None:
        self.extensions = extensions  # EHLO keyword in upper case -> parameters
        self.opened_at = time.monotonic()
        self.transaction_count = 0
        self._transaction: Transaction | None = None
        self.channel = channel
        self._timeouts = timeouts
        self._handshake_lines = dialogue
        self._unusable = False

    @property
    def phase(self) -> Phase:
        """Phase of the latest transaction; AUTH before the first."""
        return self._transaction.phase if self._transaction else Phase.AUTH

    @property
    def reused(self) -> bool:
        """True if a transaction has been started on this session."""
        return self.transaction_count > 0

    @property
    def reusable(self) -> bool:
        """True if another transaction may start: open, in sequence, no reply received while idle."""
        return not self._unusable and self.channel.open

    @property
    def open(self) -> bool:
        """True if QUIT can be sent."""
        return self.channel.open

    async def send(self, envelope: Envelope, content: bytes, before_dot: BeforeDot) -> Attempt:
        """Send one message. `content` consists of CRLF lines without dot-stuffing.

        `before_dot` is awaited once, when all but the last chunk is sent. It must record durably that the server may
        accept the message; if it returns False, the final dot is not sent. Raises SessionError. The session is reusable
        only after a positive reply to the dot.
        """
        dialogue = Transcript(self._handshake_lines)
        self._handshake_lines = ()
        self.transaction_count += 1
        self._unusable = True
        self._check(envelope, dialogue)
        self._transaction = Transaction(self.channel, self.extensions, self._timeouts, dialogue, envelope, content)
        attempt = await self._transaction.run(before_dot)
        self._unusable = not (attempt.phase is Phase.DOT and attempt.reply is not None and attempt.reply.positive)
        return attempt

    async def try_sender(self, mail_from: str) -> Reply:
        """Return the reply to MAIL FROM; RSET follows (RFC 5321 §4.1.1.5), so no mail is sent. Raises SessionError."""
        parameter = "" if mail_from.isascii() or "SMTPUTF8" not in self.extensions else " SMTPUTF8"
        try:
            reply = await self._command_reply(f"MAIL FROM:<{mail_from}>{parameter}")
            if reply.positive and not (await self._command_reply("RSET")).positive:
                raise self.channel.abort(FailureKind.PROTOCOL, "The server refused RSET.")
        except ConnectionLostError as lost:
            self.channel.abort(lost.kind, lost.detail)
            raise SessionError(Failure(Phase.MAIL, lost.kind, lost.detail)) from None
        except BaseException:
            self.abort()  # a late reply would be read as the reply to another command
            raise
        if reply.code == _CLOSING:
            self.channel.abort(FailureKind.CLOSED, "The server closed the session.")
        return reply

    async def quit(self) -> None:
        """Send QUIT, so that the server frees the connection slot, and close. Takes at most `timeouts.quit` seconds."""
        await self.channel.quit(self._timeouts.quit)

    def abort(self) -> None:
        """Close immediately; a running transaction raises SessionError."""
        self.channel.abort(FailureKind.STOPPED, "Postern closed the connection.")

    async def _command_reply(self, command: str) -> Reply:
        """Send a command and return its reply. A reply that was received before the command counts only if negative."""
        in_sequence = self.channel.open
        if in_sequence:
            self.channel.write(_encoded(command))
        reply = await self.channel.read_reply(self._timeouts.mail)
        if reply.code >= _REFUSAL or (in_sequence and reply.positive):
            return reply
        raise _out_of_sequence(reply)

    def _check(self, envelope: Envelope, dialogue: Transcript) -> None:
        if envelope.smtputf8 and "SMTPUTF8" not in self.extensions:
            detail = "The server accepts only ASCII addresses (it does not offer SMTPUTF8)."
            raise SessionError(Failure(Phase.MAIL, FailureKind.CAPABILITY, detail), None, dialogue.lines())


class Transaction:
    """Mail transaction on an open channel. An instance is used once."""

    __slots__ = (
        *("_channel", "_content", "_dialogue", "_envelope", "_extensions", "_pipelining"),
        *("_refused", "_timeouts", "_timer"),
    )

    def __init__(
        self,
        channel: SmtpChannel,
        extensions: Mapping[str, str],
        timeouts: Timeouts,
        dialogue: Transcript,
        envelope: Envelope,
        content: bytes,
    ) -> None:
        self._timer = PhaseTimer(Phase.MAIL)
        self._channel = channel
        self._extensions = extensions
        self._pipelining = "PIPELINING" in extensions
        self._timeouts = timeouts
        self._dialogue = dialogue
        self._envelope = envelope
        self._content = content
        self._refused: dict[str, Reply] = {}

    @property
    def phase(self) -> Phase:
        """Current phase."""
        return self._timer.phase

    async def run(self, before_dot: BeforeDot) -> Attempt:
        """Run the transaction. Raises SessionError. The channel is closed on every exception."""
        try:
            return await self._send_envelope() or await self._send_content(before_dot)
        except ConnectionLostError as lost:
            self._channel.abort(lost.kind, lost.detail)
            failure = Failure(self.phase, lost.kind, lost.detail)
            raise SessionError(failure, self._refused, self._dialogue.lines()) from None
        except BaseException:
            self._channel.abort(FailureKind.STOPPED, "Postern stopped the attempt.")
            raise
        finally:
            self._timer.stop()

    # Envelope: MAIL, RCPT, DATA.

    async def _send_envelope(self) -> Attempt | None:
        """Send MAIL, RCPT and DATA. Return None if the content may follow, else the finished attempt."""
        if not self._channel.open:
            return await self._refused_early()
        mail, rcpt = self._mail_command(), [f"RCPT TO:<{address}>" for address in self._envelope.rcpt_to]
        if self._pipelining:
            self._write(mail, *rcpt, "DATA")
        refusal = await self._command(Phase.MAIL, mail, self._timeouts.mail)
        if refusal is not None:
            return await self._end_refused(refusal, len(rcpt))
        return await self._rcpt_and_data(rcpt)

    async def _rcpt_and_data(self, commands: list[str]) -> Attempt | None:
        refusal = None
        for address, command in zip(self._envelope.rcpt_to, commands, strict=True):
            refusal = await self._command(Phase.RCPT, command, self._timeouts.rcpt)
            if refusal is None:
                continue
            if refusal.code == _CLOSING:
                return self._attempt(refusal)
            self._refused[address] = refusal
        if refusal is not None and len(self._refused) == len(commands):
            return await self._end_refused(refusal, 0)
        refusal = await self._command(Phase.DATA, "DATA", self._timeouts.data)
        return None if refusal is None else self._attempt(refusal)

    def _mail_command(self) -> str:
        command = f"MAIL FROM:<{self._envelope.mail_from}>"
        if "SIZE" in self._extensions:
            command += f" SIZE={len(self._content)}"
        if "8BITMIME" in self._extensions and not self._content.isascii():
            command += " BODY=8BITMIME"
        return f"{command} SMTPUTF8" if self._envelope.smtputf8 else command

    async def _command(self, phase: Phase, command: str, seconds: float) -> Reply | None:
        """Return the negative reply to one command, or None. With PIPELINING the command has been sent before."""
        self._timer.enter(phase)
        if not self._pipelining:
            self._write(command)
        self._dialogue.add_command(command)
        reply = self._channel.buffered_reply() or await self._channel.read_reply(seconds)
        self._dialogue.add_reply(reply)
        accepted = reply.code == _GO_AHEAD if phase is Phase.DATA else reply.positive
        return None if accepted else self._refusal(reply)

    def _refusal(self, reply: Reply) -> Reply:
        if reply.code < _REFUSAL:
            raise _out_of_sequence(reply)
        return reply

    def _write(self, *commands: str) -> None:
        self._channel.write(_encoded(*commands))

    # Content and final dot.

    async def _send_content(self, before_dot: BeforeDot) -> Attempt:
        self._timer.enter(Phase.CONTENT)
        self._dialogue.add_command(f"({len(self._content)} bytes of content)")
        chunks = stuffed_chunks(self._content)
        last = next(chunks)
        for chunk in chunks:
            self._channel.write(last)
            await self._channel.drain(self._timeouts.stall)
            if not self._channel.open:
                return await self._refused_early()
            last = chunk
        if not await before_dot():
            raise ConnectionLostError(FailureKind.STOPPED, "The lease of the message has ended.")
        if not self._channel.open:
            return await self._refused_early()
        return await self._send_dot(last)

    async def _send_dot(self, last: bytes | memoryview) -> Attempt:
        self._timer.enter(Phase.DOT)
        self._channel.write(last)
        self._dialogue.add_command(".")
        reply = await self._channel.read_reply(self._timeouts.final_reply(len(self._content)))
        self._dialogue.add_reply(reply)
        return self._attempt(reply if reply.positive else self._refusal(reply))

    async def _refused_early(self) -> Attempt:
        """End the attempt because the server replied or closed before the final dot, which is not sent."""
        reply = await self._channel.read_reply(self._timeouts.data)
        self._dialogue.add_reply(reply)
        attempt = self._attempt(self._refusal(reply))
        self._channel.abort(FailureKind.CLOSED, "The server refused the message before its end.")
        return attempt

    # End of the transaction.

    def _attempt(self, reply: Reply) -> Attempt:
        if reply.code == _CLOSING:
            self._channel.abort(FailureKind.CLOSED, "The server closed the session.")
        return Attempt(self.phase, reply, None, self._refused, self._dialogue.lines())

    async def _end_refused(self, reply: Reply, unanswered: int) -> Attempt:
        """End the attempt without content. `unanswered` RCPT commands of the batch have no reply yet."""
        attempt = self._attempt(reply)
        if self._pipelining and reply.code != _CLOSING:
            await self._drain_pipeline(unanswered)
        return attempt

    async def _drain_pipeline(self, unanswered: int) -> None:
        """Read the remaining replies of the batch, so that QUIT can follow (RFC 2920 §3.1).

        A 354 is answered with an empty content, which has no recipients. Errors here do not change the attempt.
        """
        seconds = self._timeouts.quit
        try:
            answers = [await self._channel.read_reply(seconds) for _ in range(unanswered)]
            if (await self._channel.read_reply(seconds)).code != _GO_AHEAD:
                return
            if any(answer.positive for answer in answers):
                self._channel.abort(FailureKind.PROTOCOL, "The server accepted recipients without a sender.")
                return
            self._channel.write(b".\r\n")
            await self._channel.read_reply(seconds)
        except ConnectionLostError:
            return


def _out_of_sequence(reply: Reply) -> ConnectionLostError:
    return ConnectionLostError(FailureKind.PROTOCOL, f"The server answered {reply.code} out of sequence.")


def _encoded(*commands: str) -> bytes:
    text = "\r\n".join((*commands, ""))
    if text.count("\n") != len(commands) or text.count("\r") != len(commands):
        raise ValueError("an address contains a line end")
    return text.encode()


def stuffed_chunks(content: bytes, size: int = CHUNK_BYTES) -> Iterator[bytes | memoryview]:
    """Yield the chunks to write, dot-stuffed (RFC 5321 §4.5.2), with the final dot. `size` is at least 2.

    A dot is doubled after every LF, not only after CRLF, so that no server reads a bare LF and a dot as the end of the
    content (SMTP smuggling). For content with CRLF lines only, the result is the same.
    """
    start = 0
    dotted = content.startswith(b".") or b"\n." in content
    view = memoryview(content)
    while start + size < len(content):
        end = start + size
        if content[end - 1] == _LF:
            end -= 1  # keep LF and a following dot in one chunk
        yield _stuffed(content[start:end], first=not start) if dotted else view[start:end]
        start = end
    last = content[start:]
    ending = b".\r\n" if not content or content.endswith(b"\r\n") else b"\r\n.\r\n"
    yield (_stuffed(last, first=not start) if dotted else last) + ending


def _stuffed(chunk: bytes, *, first: bool) -> bytes:
    stuffed = chunk.replace(b"\n.", b"\n..")
    return b"." + stuffed if first and chunk.startswith(b".") else stuffed
