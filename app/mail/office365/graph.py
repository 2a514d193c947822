"""Names and ids of the Microsoft Graph permissions that reading message traces and non-delivery reports needs."""

TRACE_PERMISSION = "ExchangeMessageTrace.Read.All"  # application permission: metadata of all mail of the tenant
TRACE_PRINCIPAL = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"  # app id of Microsoft's service of the message trace
MAIL_PERMISSION = "Mail.Read"  # application permission; without a scope it covers every mailbox of the tenant
MAIL_ROLE = "Application Mail.Read"  # the same in RBAC for Applications, which limits it to some mailboxes
