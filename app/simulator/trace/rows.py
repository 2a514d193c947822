"""Rows of the message trace: one for each recipient of an accepted message, as visible at a time, in JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from app.mail.office365.graph import iso_seconds
from app.simulator.protocol import content
from app.simulator.recorder import ReceivedMessage
from app.simulator.trace.fates import GROUP_MEMBERS, Fate, Step, fate_of


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Row of one message and one recipient. `received_at` is in whole epoch seconds; `message_id` has its brackets."""

    id: UUID
    message_id: str
    sender: str
    recipient: str
    received_at: int
    status: str
    subject: str = ""
    size: int = 0
    code: str = ""  # enhanced status code of the last step
    text: str = ""

    @property
    def key(self) -> tuple[int, str, str]:
        """Position in the order of a page: newest first."""
        return (-self.received_at, str(self.id), self.recipient)

    def as_json(self) -> dict[str, Any]:
        """Return the resource exchangeMessageTrace."""
        return {
            "@odata.type": "#microsoft.graph.exchangeMessageTrace",
            "id": str(self.id),
            "senderAddress": self.sender,
            "recipientAddress": self.recipient,
            "messageId": self.message_id,
            "receivedDateTime": iso_seconds(self.received_at),
            "subject": self.subject,
            "size": self.size,
            "fromIP": "192.0.2.10",
            "toIP": "198.51.100.20" if self.status == "delivered" else None,
            "status": self.status,
        }


def rows_at(
    messages: Sequence[ReceivedMessage], fates: Mapping[str, Fate], now: float, delay: float
) -> Iterator[TraceRow]:
    """Yield the rows that are visible at `now` (epoch seconds): a row appears `delay` seconds after its message."""
    for message in messages:
        if message.accepted and message.at + delay <= now:
            yield from _rows_of(message, fates, now)


def _rows_of(message: ReceivedMessage, fates: Mapping[str, Fate], now: float) -> Iterator[TraceRow]:
    network_id = uuid5(NAMESPACE_OID, f"{message.id} {message.at!r}")
    fields = content.header_fields(message.content)
    for recipient in message.recipients:
        step = _current(fate_of(recipient, fates), now - message.at)
        if step is None:
            continue
        row = TraceRow(
            id=network_id,
            message_id=fields.message_id or f"<{network_id}@simulator.invalid>",
            sender=message.mail_from,
            recipient=recipient.lower(),
            received_at=int(message.at),
            status=step.status,
            size=len(message.content),
            code=step.code,
            text=step.text,
        )
        yield row
        if step.status == "expanded":
            domain = recipient.rpartition("@")[2]
            for member in GROUP_MEMBERS:
                yield TraceRow(row.id, row.message_id, row.sender, f"{member}@{domain}", row.received_at, "delivered")


def _current(fate: Fate, age: float) -> Step | None:
    return next((step for step in reversed(fate) if step.after <= age), None)
