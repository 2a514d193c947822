"""Timeouts of the SMTP phases (RFC 5321 §4.5.3.2, shorter where Exchange Online replies fast)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds, each for one reply; `connect` is for one address, `stall` for a full send buffer."""

    connect: float = 15.0
    greeting: float = 30.0
    ehlo: float = 30.0
    starttls: float = 30.0  # the reply and the handshake
    auth: float = 60.0  # Exchange delays the reply to a rejected login by about 5 s
    mail: float = 60.0
    rcpt: float = 60.0
    data: float = 120.0
    stall: float = 180.0
    dot: float = 600.0  # RFC 5321 §4.5.3.2.6; a shorter timeout causes duplicates
    min_upload_rate: float = 50_000.0  # bytes per second; data in kernel buffers delays the reply
    quit: float = 5.0

    def final_reply(self, size: int) -> float:
        """Return the timeout of the reply to the final dot for `size` bytes of content."""
        return self.dot + size / self.min_upload_rate
