"""Fault: its point in the SMTP session, its condition, its frequency, its action, and its form in JSON and TOML."""

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Self

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as validated

from app.mail.outcome.attempt import Phase
from app.simulator.faults.actions import FaultAction, FaultContext, Say
from app.simulator.faults.catalogue import CATALOGUE
from app.simulator.protocol.replies import ROWS


class Point(StrEnum):
    """Point of the SMTP session at which a fault is applied."""

    CONNECT = "connect"  # after TCP connect, before the greeting
    GREETING = "greeting"  # instead of the 220
    EHLO = "ehlo"  # instead of the reply to EHLO or HELO
    STARTTLS = "starttls"  # before the 220 to STARTTLS
    TLS = "tls"  # ClientHello received, before the server's part of the handshake
    AUTH = "auth"  # credentials received, before they are checked
    MAIL = "mail"  # before MAIL is handled
    RCPT = "rcpt"  # before RCPT is handled
    DATA = "data"  # before the 354 to DATA
    CONTENT = "content"  # after `after` bytes of content
    DOT = "dot"  # complete content received, before the message is accepted
    ACCEPTED = "accepted"  # message accepted and recorded, before the 250
    REPLY = "reply"  # before any reply
    QUIT = "quit"  # before QUIT is handled
    IDLE = "idle"  # after `after` seconds of the clock without a command, outside a transaction


@validated(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """Fault of the script. `sender` and `recipient` are patterns (`*@contoso.com`), `mailbox` is an address.

    `nth` is the first time it is applied (1-based), without `every` the only one; `times` limits the total.
    """

    at: Point
    do: FaultAction
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    times: int | None = Field(default=None, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    mailbox: str | None = None
    sender: str | None = None
    recipient: str | None = None
    after: float = Field(default=0, ge=0)  # bytes at `content`, seconds of the clock at `idle`
    name: str = ""

    @classmethod
    def named(cls, name: str, /, *, close: bool | None = None, **conditions: Any) -> Self:
        """Return the fault `name` of the catalogue, or the error reply `name` of replies.ROWS at Exchange's own point.

        `conditions` are other fields of Fault, `at` among them. After a 421 the connection is closed
        (RFC 5321 §3.8), unless `close` is False. Raises KeyError.
        """
        if name in CATALOGUE:
            row = {"name": name, **CATALOGUE[name].row, **conditions}
            reply = row.pop("named", None)
            return cls(**row) if reply is None else cls.named(reply, close=close, **row)
        text = ROWS[name]
        say = Say(str(text), close=text.startswith("421") if close is None else close)
        return cls(**{"at": _POINTS[text.phase], "do": say, "name": name, **conditions})

    def applies_to(self, context: FaultContext) -> bool:
        """Return True if the condition matches mailbox, sender and one of the recipients."""
        if self.mailbox is not None and self.mailbox.lower() != context.mailbox.lower():
            return False
        if self.sender is not None and not _matches(context.sender, self.sender):
            return False
        return self.recipient is None or any(_matches(address, self.recipient) for address in context.recipients)

    def is_due(self, count: int) -> bool:
        """Return True if the fault is due at the `count`-th time."""
        first = self.nth or self.every or 1
        if self.every is not None:
            return count >= first and (count - first) % self.every == 0
        return self.nth is None or count == first


_POINTS: Mapping[Phase, Point] = {phase: Point(phase.value) for phase in Phase}


def _matches(address: str, pattern: str) -> bool:
    return fnmatchcase(address.lower(), pattern.lower())


_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)


def parse_fault(row: Mapping[str, Any]) -> Fault:
    """Parse a fault from JSON or TOML: the fields of Fault, or `named` with conditions. Raises ValueError."""
    if "named" not in row:
        return _FAULT.validate_python(dict(row))
    name = row["named"]
    if name not in CATALOGUE and name not in ROWS:
        raise ValueError(f"no fault is named {name!r}; ready faults: {', '.join(CATALOGUE)}")
    return Fault.named(name, **{key: value for key, value in row.items() if key != "named"})


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """Return the JSON form without default values."""
    form: dict[str, Any] = _FAULT.dump_python(fault, mode="json", exclude_defaults=True)
    return {**form, "do": {"action": fault.do.action, **form["do"]}}
