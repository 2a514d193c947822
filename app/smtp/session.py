"""Mail transactions (RFC 5321 §3.3), pipelined where offered (RFC 2920): two round trips each on an open session.

Rule 1: the phase only moves forward, and is DOT from the moment before the write that holds the final dot.
Rule 2: that write happens last, only after `before_dot` said True, and only while nothing was said out of turn.
Rule 3: whatever ends a transaction without a reply to the dot closes the connection at once, so that nothing
        that is still buffered can leave later.
"""

import time
from collections.abc import Awaitable, Callable, Mapping

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Line, Phase
from app.mail.outcome.reply import Reply
from app.smtp import dot_stuffing as data
from app.smtp.failure import ConnectionLostError, SessionError
from app.smtp.phase_timer import PhaseTimer
from app.smtp.protocol import SmtpChannel
from app.smtp.timeouts import Timeouts
from app.smtp.transcript import Transcript

BeforeDot = Callable[[], Awaitable[bool]]
_GO_AHEAD = 354
_CLOSING = 421
_REFUSAL = 400


class Session:
    """An authenticated session over verified TLS. One task at a time sends on it.

    Its owner (the pool) decides on its end: `quit` when it may still speak, `abort` when it must be silent.
    """

    def __init__(
        self,
        channel: SmtpChannel,
        extensions: Mapping[str, str],
        timeouts: Timeouts,
        dialogue: tuple[Line, ...] = (),
    ) -> None:
        self.extensions = extensions  # EHLO keyword in upper case: its parameters
        self.opened_at = time.monotonic()
        self.transaction_count = 0  # transactions begun
        self._transaction: Transaction | None = None
        self._channel = channel
        self._timeouts = timeouts
        self._opening = dialogue
        self._spent = False

    @property
    def phase(self) -> Phase:
        """Where the latest transaction stands; AUTH before the first."""
        return self._transaction.phase if self._transaction else Phase.AUTH

    @property
    def reused(self) -> bool:
        """True if a transaction was begun on it before."""
        return self.transaction_count > 0

    @property
    def reusable(self) -> bool:
        """True if another transaction may begin: in step, still open, and nothing was said while it was idle."""
        return not self._spent and self._channel.open

    @property
    def open(self) -> bool:
        """True if it can still be told QUIT."""
        return self._channel.open

    async def send(self, envelope: Envelope, content: bytes, before_dot: BeforeDot) -> Attempt:
        """Offer one message. `content` is CRLF lines, not dot-stuffed.

        `before_dot` is awaited once, when all but the end of the content is sent, and must make durable that the
        message may be taken; False forbids it. Raises SessionFailed. Whatever goes wrong, the session is spent.
        """
        dialogue = Transcript(self._opening)
        self._opening = ()
        self.transaction_count += 1
        self._spent = True
        self._check(envelope, dialogue)
        self._transaction = Transaction(self._channel, self.extensions, self._timeouts, dialogue, envelope, content)
        attempt = await self._transaction.run(before_dot)
        self._spent = not (attempt.phase is Phase.DOT and attempt.reply is not None and attempt.reply.positive)
        return attempt

    async def try_sender(self, mail_from: str) -> Reply:
        """The answer to MAIL FROM, taken back with RSET (RFC 5321 §4.1.1.5): no mail. Raises SessionFailed."""
        parameter = "" if mail_from.isascii() or "SMTPUTF8" not in self.extensions else " SMTPUTF8"
        try:
            reply = await self._ask(f"MAIL FROM:<{mail_from}>{parameter}")
            if reply.positive and not (await self._ask("RSET")).positive:
                raise self._channel.abort(FailureKind.PROTOCOL, "The server does not take RSET.")
        except ConnectionLostError as lost:
            self._channel.abort(lost.kind, lost.detail)
            raise SessionError(Failure(Phase.MAIL, lost.kind, lost.detail)) from None
        except BaseException:
            self.abort()  # what is answered later would be taken for the answer to something else
            raise
        if reply.code == _CLOSING:
            self._channel.abort(FailureKind.CLOSED, "The server closed the session.")
        return reply

    async def quit(self) -> None:
        """Say goodbye, so that the server frees the slot, and close. Takes `timeouts.quit` at most."""
        await self._channel.quit(self._timeouts.quit)

    def abort(self) -> None:
        """Close at once; a transaction under way fails with what it knows."""
        self._channel.abort(FailureKind.STOPPED, "Postern closed the connection.")

    async def _ask(self, command: str) -> Reply:
        """The answer: a success or a refusal. What was said before anybody asked is an answer only if it refuses."""
        in_step = self._channel.open
        if in_step:
            self._channel.write(_octets(command))
        reply = await self._channel.read_reply(self._timeouts.mail)
        if reply.code >= _REFUSAL or (in_step and reply.positive):
            return reply
        raise ConnectionLostError(FailureKind.PROTOCOL, f"The server answered {reply.code} out of turn.")

    def _check(self, envelope: Envelope, dialogue: Transcript) -> None:
        if envelope.smtputf8 and "SMTPUTF8" not in self.extensions:
            what = "The server takes no addresses beyond ASCII (it does not offer SMTPUTF8)."
            raise SessionError(Failure(Phase.MAIL, FailureKind.CAPABILITY, what), None, dialogue.lines())


class Transaction:
    """One envelope and its content offered once on an open channel. Used once."""

    __slots__ = ("_channel", "_content", "_dialogue", "_envelope", "_extensions", "_refused", "_timeouts", "_watch")

    def __init__(
        self,
        channel: SmtpChannel,
        extensions: Mapping[str, str],
        timeouts: Timeouts,
        dialogue: Transcript,
        envelope: Envelope,
        content: bytes,
    ) -> None:
        self._watch = PhaseTimer(Phase.MAIL)
        self._channel = channel
        self._extensions = extensions
        self._timeouts = timeouts
        self._dialogue = dialogue
        self._envelope = envelope
        self._content = content
        self._refused: dict[str, Reply] = {}

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self._watch.phase

    async def run(self, before_dot: BeforeDot) -> Attempt:
        """Offer it. Raises SessionFailed; on that, and on any other exception, the channel is closed."""
        try:
            return await self._run_commands() or await self._upload(before_dot)
        except ConnectionLostError as lost:
            self._channel.abort(lost.kind, lost.detail)
            failure = Failure(self.phase, lost.kind, lost.detail)
            raise SessionError(failure, self._refused, self._dialogue.lines()) from None
        except BaseException:
            self._channel.abort(FailureKind.STOPPED, "Postern gave the attempt up.")
            raise
        finally:
            self._watch.stop()

    # The envelope.

    async def _run_commands(self) -> Attempt | None:
        """MAIL, RCPT and DATA. None when the content may follow, else how it ended."""
        if not self._channel.open:
            return await self._interrupted()
        mail, recipients = self._mail(), [f"RCPT TO:<{address}>" for address in self._envelope.rcpt_to]
        if self._pipelining:
            self._write(mail, *recipients, "DATA")
        refusal = await self._command(Phase.MAIL, mail, self._timeouts.mail)
        if refusal is not None:
            return await self._refuse(refusal, len(recipients))
        return await self._recipients(recipients)

    async def _recipients(self, commands: list[str]) -> Attempt | None:
        refusal = None
        for address, command in zip(self._envelope.rcpt_to, commands, strict=True):
            refusal = await self._command(Phase.RCPT, command, self._timeouts.rcpt)
            if refusal is None:
                continue
            if refusal.code == _CLOSING:
                return self._ended(refusal)
            self._refused[address] = refusal
        if refusal is not None and len(self._refused) == len(commands):
            return await self._refuse(refusal, 0)
        refusal = await self._command(Phase.DATA, "DATA", self._timeouts.data)
        return None if refusal is None else self._ended(refusal)

    def _mail(self) -> str:
        command = f"MAIL FROM:<{self._envelope.mail_from}>"
        if "SIZE" in self._extensions:
            command += f" SIZE={len(self._content)}"
        if "8BITMIME" in self._extensions and not self._content.isascii():
            command += " BODY=8BITMIME"
        return f"{command} SMTPUTF8" if self._envelope.smtputf8 else command

    async def _command(self, phase: Phase, command: str, seconds: float) -> Reply | None:
        """The refusal of one command, or None. With pipelining it has been sent already."""
        self._watch.enter(phase)
        if not self._pipelining:
            self._write(command)
        self._dialogue.add_command(command)
        reply = self._channel.buffered_reply() or await self._channel.read_reply(seconds)
        self._dialogue.add_reply(reply)
        accepted = reply.code == _GO_AHEAD if phase is Phase.DATA else reply.positive
        return None if accepted else self._refusal(reply)

    def _refusal(self, reply: Reply) -> Reply:
        if reply.code < _REFUSAL:
            raise ConnectionLostError(FailureKind.PROTOCOL, f"The server answered {reply.code} out of turn.")
        return reply

    def _write(self, *commands: str) -> None:
        self._channel.write(_octets(*commands))

    @property
    def _pipelining(self) -> bool:
        return "PIPELINING" in self._extensions

    # The content.

    async def _upload(self, before_dot: BeforeDot) -> Attempt:
        self._watch.enter(Phase.CONTENT)
        self._dialogue.add_command(f"({len(self._content)} octets of content)")
        rest = data.chunks(self._content)
        piece = next(rest)
        for following in rest:
            self._channel.write(piece)
            await self._channel.drain(self._timeouts.stall)
            if not self._channel.open:
                return await self._interrupted()
            piece = following
        if not await before_dot():
            raise ConnectionLostError(FailureKind.STOPPED, "The message was no longer ours to send.")
        if not self._channel.open:
            return await self._interrupted()
        return await self._finish(piece)

    async def _finish(self, last: bytes | memoryview) -> Attempt:
        self._watch.enter(Phase.DOT)
        self._channel.write(last)
        self._dialogue.add_command(".")
        reply = await self._channel.read_reply(self._timeouts.final_reply(len(self._content)))
        self._dialogue.add_reply(reply)
        return self._ended(reply if reply.positive else self._refusal(reply))

    async def _interrupted(self) -> Attempt:
        """The server spoke, or left, before its turn. The dot never leaves."""
        reply = await self._channel.read_reply(self._timeouts.data)
        self._dialogue.add_reply(reply)
        attempt = self._ended(self._refusal(reply))
        self._channel.abort(FailureKind.CLOSED, "The server refused before the message was whole.")
        return attempt

    # The end.

    def _ended(self, reply: Reply) -> Attempt:
        if reply.code == _CLOSING:
            self._channel.abort(FailureKind.CLOSED, "The server closed the session.")
        return Attempt(self.phase, reply, None, self._refused, self._dialogue.lines())

    async def _refuse(self, reply: Reply, unanswered: int) -> Attempt:
        """Nobody is left to send to. `unanswered` recipients of the batch are still to be answered."""
        attempt = self._ended(reply)
        if self._pipelining and reply.code != _CLOSING:
            await self._step_out(unanswered)
        return attempt

    async def _step_out(self, unanswered: int) -> None:
        """Read the rest of the batch, so that QUIT can follow; a go-ahead gets an empty mail that goes to nobody.

        RFC 2920 §3.1. The refusal stands whatever happens here.
        """
        seconds = self._timeouts.quit
        try:
            answers = [await self._channel.read_reply(seconds) for _ in range(unanswered)]
            if (await self._channel.read_reply(seconds)).code != _GO_AHEAD:
                return
            if any(answer.positive for answer in answers):
                self._channel.abort(FailureKind.PROTOCOL, "The server took recipients without a sender.")
                return
            self._channel.write(b".\r\n")
            await self._channel.read_reply(seconds)
        except ConnectionLostError:
            return


def _octets(*commands: str) -> bytes:
    text = "\r\n".join((*commands, ""))
    if text.count("\n") != len(commands) or text.count("\r") != len(commands):
        raise ValueError("an address holds a line end")
    return text.encode()
