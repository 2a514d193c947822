"""Sources of the rules for replies and bounces: names of Microsoft's pages, published logs and standards."""

# Microsoft
CONCURRENCY = "learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements"
CONTINUOUS_ERRORS = (
    "learn.microsoft.com/exchange/mail-flow-best-practices/continuous-error-throttling-smtp-auth-submissions"
)
DIRECT_SEND = "techcommunity.microsoft.com 4408790 (Direct Send in Exchange Online)"
DEPRECATION = "techcommunity.microsoft.com 4489835 (Basic authentication timeline, January 2026)"
EXCHANGE_REPORTS = (
    "learn.microsoft.com/exchange/mail-flow/non-delivery-reports-and-bounce-messages/"
    "non-delivery-reports-and-bounce-messages"
)
EXCHANGE_RULES = "learn.microsoft.com/exchange/security-and-compliance/mail-flow-rules/mail-flow-rule-actions"
FIX_APPLICATIONS = "MicrosoftDocs/OfficeDocs-Support: fix-issues-with-printers-scanners-and-lob-applications"
HIGH_VOLUME = "learn.microsoft.com: troubleshoot-high-volume-email-m365"
LEGACY_TLS = "learn.microsoft.com: opt-in-exchange-online-endpoint-for-legacy-tls"
NON_DELIVERY = "learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online"
NOT_AUTHENTICATED = "MicrosoftDocs/OfficeDocs-Support: fix-error-code-5-7-57"
OAUTH = "MicrosoftDocs/office-developer-exchange-docs: how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
OUTLOOK_BULK = "techcommunity.microsoft.com 4399730 (Outlook's requirements for high-volume senders, May 2025)"
SMTP_AUTH = "MicrosoftDocs/OfficeDocs-Exchange: authenticated-client-smtp-submission"
SUBMISSION = "MicrosoftDocs/OfficeDocs-Exchange: how-to-set-up-a-multifunction-device-or-application"
RESPONSES = "Exchange Server's table of replies (Microsoft.Exchange.Data.Transport.SmtpResponse)"
RATE_LIMITS = "MicrosoftDocs/OfficeDocs-Exchange: message-rate-limits"
TRACE = "learn.microsoft.com/graph/api/resources/exchangemessagetrace"
TENANT_BLOCK = (
    "learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/"
    "fix-error-code-5-7-700-through-5-7-750"
)
TENANT_LIMIT = "techcommunity.microsoft.com 4372797 (tenant external recipient rate limit)"

# Others. A rule names an issue of a public project by project and number.
LOG = "a log in a public repository"
MX_SIDE = "logs of other Exchange front ends (MX side)"

# Standards
RFC_3207 = "RFC 3207 §4"
RFC_3463 = "RFC 3463 §3"
RFC_4954 = "RFC 4954 §4, §6"
RFC_5321 = "RFC 5321 §4.2"
RFC_5321_RECIPIENTS = "RFC 5321 §4.5.3.1.10"
