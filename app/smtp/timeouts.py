"""How long each phase may take (RFC 5321 §4.5.3.2, shorter where Exchange Online is quick). Real seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. Each is for one reply, except `connect` (one address) and `stall` (no room in the send buffer)."""

    connect: float = 15.0
    greeting: float = 30.0
    ehlo: float = 30.0
    starttls: float = 30.0  # the reply and the handshake
    auth: float = 60.0  # a refused login is answered about 5 s late
    mail: float = 60.0
    rcpt: float = 60.0
    data: float = 120.0
    stall: float = 180.0
    dot: float = 600.0  # RFC 5321 §4.5.3.2.6: giving up early here is what sends mail twice
    min_upload_rate: float = 50_000.0  # octets a second: what the kernel still buffers delays the reply
    quit: float = 5.0

    def final_reply(self, size: int) -> float:
        """Seconds to wait for the reply to the final dot of a content of `size` octets."""
        return self.dot + size / self.min_upload_rate
