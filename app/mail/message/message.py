"""Values of a submission and of a composed message. No parsing, no rendering."""

from dataclasses import field
from enum import StrEnum

from app.frozen import frozen
from app.mail.message.address import Address


class OnUnknown(StrEnum):
    """Policy for a connection that is lost between the final dot and its reply (app/DESIGN.md, guarantee 2)."""

    RETRY_ONCE = "retry_once"
    HOLD = "hold"
    ASSUME_SENT = "assume_sent"


class Lane(StrEnum):
    """Priority lane: urgent before normal before bulk (deploy/docs/api.md)."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"

    @property
    def rank(self) -> int:
        """Rank of the lane; 0 is sent first."""
        return _RANKS[self]


_RANKS = {lane: rank for rank, lane in enumerate(Lane)}


@frozen
class Attachment:
    """Attached file. `base64` is canonical RFC 4648 base64 (padded, no white space), so sending needs no decoding."""

    filename: str
    content_type: str
    base64: bytes
    content_id: str | None = None  # without <> (RFC 2392)
    is_inline: bool = True  # the HTML refers to its content id

    @property
    def size(self) -> int:
        """Size in bytes after decoding."""
        return len(self.base64) * 3 // 4 - self.base64.count(b"=", -2)


@frozen
class Submission:
    """Validated email of a caller. Every value is safe to compose."""

    sender: Address
    to: tuple[Address, ...]
    subject: str
    html: str | None = None
    text: str | None = None  # None: made from html; "": no text part
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None  # the caller's own Message-ID, without <>
    scheduled_at: float | None = None  # epoch seconds
    expires_in: float | None = None  # seconds after acceptance (or after scheduled_at)
    on_unknown: OnUnknown = OnUnknown.RETRY_ONCE
    lane: Lane = Lane.NORMAL
    coalesce: str | None = None  # of several with the same value only the newest is sent
    original_to: tuple[str, ...] = ()  # addr-specs of the original recipients of a redirected message


@frozen
class Envelope:
    """SMTP envelope (RFC 5321 §2.3.1). Addresses are addr-specs with A-label domains, each recipient once."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    smtputf8: bool = False  # a local part is not ASCII, or a header address carries one (RFC 6531)


@frozen
class Message:
    """Composed message: every attempt sends the same bytes and Message-ID."""

    envelope: Envelope
    message_id: str  # without <>
    content: bytes = field(repr=False)  # RFC 5322, CRLF, ends with CRLF, not dot-stuffed
