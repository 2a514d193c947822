"""Web console for operators: problems and their fixes, emails, mailboxes, keys, webhooks, suppressions and the audit.

It uses the same functions as the API and no resources of other hosts, works without JavaScript, and exists only if
POSTERN_CONSOLE_PASSWORD is set. The content of an email is shown on request, and each view is recorded in the audit.
"""

from app.console.api import ConsoleApi
from app.console.console import Console, mount_console
from app.console.context import ConsoleContext
