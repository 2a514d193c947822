"""Where the rows come from: Microsoft's pages, and logs that others have published. Names only."""

# Microsoft
CONCURRENCY = "learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements"
CONTINUOUS_ERRORS = (
    "learn.microsoft.com/exchange/mail-flow-best-practices/continuous-error-throttling-smtp-auth-submissions"
)
DEPRECATION = "techcommunity.microsoft.com 4489835 (Basic authentication timeline, January 2026)"
FIX_APPLICATIONS = "MicrosoftDocs/OfficeDocs-Support: fix-issues-with-printers-scanners-and-lob-applications"
HIGH_VOLUME = "learn.microsoft.com: troubleshoot-high-volume-email-m365"
LEGACY_TLS = "learn.microsoft.com: opt-in-exchange-online-endpoint-for-legacy-tls"
NON_DELIVERY = "learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online"
NOT_AUTHENTICATED = "MicrosoftDocs/OfficeDocs-Support: fix-error-code-5-7-57"
OAUTH = "MicrosoftDocs/office-developer-exchange-docs: how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
SMTP_AUTH = "MicrosoftDocs/OfficeDocs-Exchange: authenticated-client-smtp-submission"
SUBMISSION = "MicrosoftDocs/OfficeDocs-Exchange: how-to-set-up-a-multifunction-device-or-application"
RATE_LIMITS = "MicrosoftDocs/OfficeDocs-Exchange: message-rate-limits"

# Others
FASTAPI_MAIL_205 = "fastapi-mail #205"
FIELD_MANUAL = "smtp-field-manual (2025)"
HARAKA_2321 = "Haraka #2321"
HVE_CODES = "sasl-xoauth2 README, #43, #104, #110"
MAILKIT = "MailKit #453, #566, #904, #1026, #1106, #1126, #1176, #1733"
NODEMAILER = "nodemailer #1060, #1205, #1613"
OAUTH2_PROXY = "email-oauth2-proxy #232, #271, #372"
OAUTH2MS_5 = "oauth2ms #5"
PHPMAILER = "PHPMailer #1254, #2194, #2988"
PLAIN_REFUSED = "mikel/mail #1357; ntfy #1020; sensu-email-handler #18"
PM2_HEALTH_52 = "pm2-health #52"
DATALUST_101 = "datalust #101"
SEND_AS = "vaultwarden #1008; notifuse #250"
SERVICENOW = "support.servicenow.com KB0751248"
TENANT_LIMIT = "techcommunity.microsoft.com 4372797 (tenant external recipient rate limit)"

# Standards
RFC_3207 = "RFC 3207 §4"
RFC_4954 = "RFC 4954 §4, §6"
RFC_5321 = "RFC 5321 §4.2"
RFC_5321_RECIPIENTS = "RFC 5321 §4.5.3.1.10"
