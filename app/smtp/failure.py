"""The absence of a reply as an exception, and the plain sentences for it. Judges nothing: that is policy's."""

import socket
import ssl
from collections.abc import Mapping

from app.mail.outcome.attempt import Failure, FailureKind, Line, Phase
from app.mail.outcome.reply import Reply


class ProtocolError(Exception):
    """What came is no reply. Its text is one plain sentence."""


class ConnectionLostError(Exception):
    """No reply will come any more."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class SessionError(Exception):
    """No reply came. `refused` holds the refusals of recipients that did come before, by address."""

    def __init__(
        self,
        failure: Failure,
        refused: Mapping[str, Reply] | None = None,
        dialogue: tuple[Line, ...] = (),
    ) -> None:
        super().__init__(f"{failure.phase}: {failure.kind}: {failure.detail}")
        self.failure = failure
        self.refused = refused or {}
        self.dialogue = dialogue


def classify(error: BaseException, host: str) -> tuple[FailureKind, str]:
    """The kind of an error from the network or from TLS, and a sentence without any secret."""
    match error:
        case socket.gaierror():
            return FailureKind.DNS, f"The name {host} has no address ({error.strerror})."
        case TimeoutError():
            return FailureKind.TIMEOUT, f"{host} did not answer in time."
        case ssl.SSLCertVerificationError():
            reason = error.verify_message.rstrip(".")
            return FailureKind.CERTIFICATE, f"The certificate of {host} cannot be trusted: {reason}."
        case ssl.SSLError():
            reason = (error.reason or "no reason given").replace("_", " ").lower()
            return FailureKind.TLS, f"No TLS with {host}: {reason}."
        case ConnectionRefusedError():
            return FailureKind.REFUSED, f"{host} refused the connection."
        case ConnectionError():
            return FailureKind.CLOSED, f"{host} closed the connection."
        case OSError():
            return FailureKind.UNREACHABLE, f"{host} cannot be reached ({error.strerror or 'no route'})."
        case _:
            return FailureKind.PROTOCOL, f"{host} sent what is not SMTP."


def session_error(
    phase: Phase, kind: FailureKind, detail: str, dialogue: tuple[Line, ...] = (), *, code: str = ""
) -> SessionError:
    """The exception for a session that never came to a transaction."""
    return SessionError(Failure(phase, kind, detail, code), None, dialogue)
