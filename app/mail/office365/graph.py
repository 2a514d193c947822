"""Form of times in Microsoft Graph, and the permissions that message traces and non-delivery reports need."""

from datetime import UTC, datetime

TRACE_PERMISSION = "ExchangeMessageTrace.Read.All"  # application permission: metadata of all mail of the tenant
TRACE_PRINCIPAL = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"  # app id of Microsoft's service of the message trace
MAIL_PERMISSION = "Mail.Read"  # application permission; without a scope it covers every mailbox of the tenant
MAIL_ROLE = "Application Mail.Read"  # the same in RBAC for Applications, which limits it to some mailboxes


def iso_seconds(at: float) -> str:
    """Return epoch seconds as Graph writes them: `2026-11-23T20:08:28Z`."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
