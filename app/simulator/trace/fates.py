"""Fate of a recipient: the statuses of its row over time, by its address.

The test addresses of Resend (`delivered@resend.dev`, …) have theirs, and so have local parts: `bounce+5.1.1@` fails
with that code, `delay+450@` is pending for two hours, `quarantine@`, `release@`, `junk@`, `group@`, `retried@` (failed,
delivered an hour later), `lost@` (no row) and `status+NAME@` (that status). All others are delivered.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Step(NamedTuple):
    """Status of a row from `after` seconds after the reception of the message; `code` and `text` are in its details."""

    status: str
    after: float = 0.0
    code: str = ""
    text: str = ""


Fate = tuple[Step, ...]

HOUR = 3600.0
DELIVERED: Fate = (Step("delivered"),)
_NO_ROW: Fate = ()
_RESEND = {
    "delivered@resend.dev": DELIVERED,
    "bounced@resend.dev": (Step("failed", code="5.1.1", text="User unknown"),),
    "complained@resend.dev": DELIVERED,
    "suppressed@resend.dev": (Step("failed", code="5.1.1", text="User unknown"),),
}
_LOCAL_PARTS: Mapping[str, Fate] = {
    "lost": _NO_ROW,
    "quarantine": (Step("quarantined"),),
    "release": (Step("quarantined"), Step("delivered", after=2 * HOUR)),
    "junk": (Step("filteredAsSpam"),),
    "group": (Step("expanded"),),
    "retried": (
        Step("failed", code="4.4.7", text="Message expired"),
        Step("delivered", after=HOUR),
    ),
    "slow": (Step("gettingStatus"), Step("pending", after=60.0), Step("delivered", after=600.0)),
}
_WITH_CODE = re.compile(r"(bounce|delay|status)\+([A-Za-z0-9.]+)")
_TEXTS = {
    "5.1.1": "User unknown",
    "5.1.10": "Recipient not found",
    "5.2.2": "Mailbox full",
    "5.7.1": "Delivery not authorized",
    "4.4.7": "Message expired",
}
GROUP_MEMBERS = ("member1", "member2")  # local parts of the rows that an expanded group adds


def fate_of(address: str, scripted: Mapping[str, Fate]) -> Fate:
    """Return the fate of a recipient: the scripted one by its address in lower case, else that of its form."""
    known = scripted.get(address.lower()) or _RESEND.get(address.lower())
    if address.lower() in scripted or known:
        return known or _NO_ROW
    local = address.partition("@")[0].lower()
    match = _WITH_CODE.fullmatch(local)
    if match is None:
        return _LOCAL_PARTS.get(local.partition("+")[0], DELIVERED)
    kind, code = match.groups()
    if kind == "status":
        return (Step(address.partition("+")[2].partition("@")[0]),)
    if kind == "bounce":
        return (Step("failed", code=code, text=_TEXTS.get(code, "Refused")),)
    return (Step("pending", code="4.4.317", text=f"{code} Temporary failure"), Step("delivered", after=2 * HOUR))
