"""Exceptions of the SMTP client, and sentences for network and TLS errors."""

import socket
import ssl
from collections.abc import Mapping

from app.mail.outcome.attempt import Failure, FailureKind, Line, Phase, Reply


class ProtocolError(Exception):
    """Received data that is not an SMTP reply. The text is one sentence."""


class ConnectionLostError(Exception):
    """Lost connection: no further reply arrives. `detail` is one sentence."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class SessionError(Exception):
    """Attempt that ended without a final reply.

    `refused` maps addresses to the negative replies to RCPT that were received before.
    """

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
    """Return the kind of a network or TLS error and a sentence about it without secrets."""
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
            return FailureKind.TLS, f"TLS with {host} failed: {reason}."
        case ConnectionRefusedError():
            return FailureKind.REFUSED, f"{host} refused the connection."
        case ConnectionError():
            return FailureKind.CLOSED, f"{host} closed the connection."
        case OSError():
            return FailureKind.UNREACHABLE, f"{host} cannot be reached ({error.strerror or 'no route'})."
        case _:
            return FailureKind.PROTOCOL, f"{host} sent data that is not SMTP."


def session_error(
    phase: Phase, kind: FailureKind, detail: str, dialogue: tuple[Line, ...] = (), *, code: str = ""
) -> SessionError:
    """Return the exception for a session that failed before its first transaction."""
    return SessionError(Failure(phase, kind, detail, code), None, dialogue)
