"""Verification: callers' responses and Postern's state of each email against the upstream's received messages."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.simulator.recorder import ReceivedMessage

Email = Mapping[str, Any]  # as its caller reads it

_MESSAGE_ID = re.compile(rb"^Message-ID: *(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class Verification:
    """Totals of all emails. A `doubt` is an attempt without a reply after the dot may have left."""

    emails: int = 0
    relayed: int = 0
    held_as_unknown: int = 0  # in doubt as often as its caller allows: waits for a person
    doubts: int = 0
    flagged: int = 0  # emails that say possible_duplicate
    twice: int = 0  # emails the upstream has taken twice
    unsent_dots: int = 0  # attempts in doubt, but not received upstream: killed after the mark, before the final dot


class Received:
    """Messages that the upstream has read to the end, by recipient (each email has its own)."""

    def __init__(self, seen: Iterable[ReceivedMessage]) -> None:
        self._whole: defaultdict[str, list[ReceivedMessage]] = defaultdict(list)
        for message in seen:
            for address in message.recipients:
                self._whole[address].append(message)

    def whole(self, address: str) -> Sequence[ReceivedMessage]:
        """Return every copy with complete content."""
        return self._whole.get(address, [])

    def copies(self, address: str) -> Sequence[ReceivedMessage]:
        """Return every accepted copy."""
        return [message for message in self.whole(address) if message.accepted]

    def one_message(self, address: str) -> bool:
        """Return whether every copy has the same bytes and Message-ID."""
        return len({(message.content, _message_id(message)) for message in self.whole(address)}) <= 1

    def addresses(self) -> set[str]:
        """Return the recipients of complete messages."""
        return set(self._whole)


def verify(emails: Iterable[Email], received: Received) -> Verification:
    """Verify each email and count. Raises AssertionError at the first violation of a guarantee."""
    total = Verification()
    for email in emails:
        _check_email(email, received, total)
    return total


def _check_email(email: Email, received: Received, total: Verification) -> None:
    [address] = email["to"]
    relay, attempts = email["relay"], email["relay"]["attempts"]
    doubts = sum(attempt["in_doubt"] for attempt in attempts)
    dots = sum(attempt["phase"] == "dot" for attempt in attempts)
    whole, copies = received.whole(address), received.copies(address)

    # Accepted means stored: it ends relayed, or an operator decides about its doubt.
    state = relay["state"]
    assert state == "done" or (state == "held" and doubts), (state, email)
    assert state == "held" or [one["state"] for one in relay["recipients"]] == ["relayed"], email
    assert copies or state == "held" or doubts, ("it says relayed, and nothing arrived", email)

    # A duplicate has one cause, is flagged, and is the same message.
    assert relay["possible_duplicate"] == (doubts > 0), email
    assert len(copies) <= (2 if doubts else 1), (len(copies), email)
    for attempt in attempts:
        unanswered = attempt["failure"] is not None and attempt["phase"] == "dot"
        assert attempt["in_doubt"] == unanswered, email
    assert len(whole) <= dots, ("a whole message left without a durable mark", len(whole), email)
    assert received.one_message(address), email
    assert all(_message_id(copy) == email["message_id"] for copy in whole), email

    total.emails += 1
    total.relayed += state == "done"
    total.held_as_unknown += state == "held"
    total.doubts += doubts
    total.flagged += relay["possible_duplicate"]
    total.twice += len(copies) == 2
    total.unsent_dots += dots - len(whole)


def phases(emails: Iterable[Email]) -> Counter[str]:
    """Return the phases of attempts without a reply."""
    return Counter(
        attempt["phase"] for email in emails for attempt in email["relay"]["attempts"] if attempt["failure"] is not None
    )


def _message_id(message: ReceivedMessage) -> str:
    found = _MESSAGE_ID.search(message.content)
    return found[1].decode() if found else ""
