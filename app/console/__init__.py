"""The operators' page: what is wrong now and what mends it, and a person's word about an email or a mailbox.

It stands over the same store verbs as the API, needs no script and loads nothing from elsewhere. It relays nothing,
shows no content of an email, and exists only where POSTERN_CONSOLE_PASSWORD is set.
"""

from app.console.console import Console, mount_console
from app.console.context import ConsoleContext

__all__ = ["Console", "ConsoleContext", "mount_console"]
