"""Who may send as whom: the key's patterns first, then the pools. Refused at the door, never after DATA."""

from collections.abc import Callable

from app.api.errors import SenderNotAllowed
from app.mail.address import Address
from app.mail.routing import allowed
from app.store.records import Key


def pool_for(sender: Address, key: Key, route: Callable[[Address], str | None], default: str | None) -> str:
    """The pool that relays for this sender. Raises SenderNotAllowed with what would be right."""
    if key.senders and not allowed(sender, key.senders):
        raise SenderNotAllowed(sender.addr_spec, f"This API key may send as {', '.join(key.senders)}.")
    pool = route(sender)
    if pool is None:
        known = f"Use {default}" if default else "Use the address of a mailbox"
        raise SenderNotAllowed(sender.addr_spec, f"{known}, or add this sender to a pool in the settings.")
    return pool
