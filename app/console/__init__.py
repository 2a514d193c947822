"""Web console for operators: problems and their fixes, emails, mailboxes, webhooks and the audit.

It uses the same store methods as the API and no resources of other hosts, and works without JavaScript. It does not
show the content of an email, and exists only if POSTERN_CONSOLE_PASSWORD is set. Public: Console, ConsoleContext,
mount_console.
"""

from app.console.console import Console, mount_console
from app.console.context import ConsoleContext

__all__ = ["Console", "ConsoleContext", "mount_console"]
