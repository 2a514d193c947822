"""Published reply texts of Exchange, and the expected rule of each."""

from app.mail.outcome.attempt import Phase
from tests.unit.mail.office365 import sender_texts
from tests.unit.mail.office365.sample import OTHER_BACK, OTHER_FRONT, PERMANENT, SPAM, SUBMISSION, UNSUCCESSFUL, Sample

__all__ = ["OTHER_BACK", "OTHER_FRONT", "SAMPLES", "Sample"]

_OPENING = (
    Sample(
        "legacy-tls",
        Phase.AUTH,
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
        "Visit https://aka.ms/smtp_auth_tls",
    ),
    Sample("service-not-active", Phase.GREETING, "421 4.3.2 Service not active {front}"),
    Sample("service-not-active", Phase.AUTH, "421 4.3.2 Service not available {front}"),
    Sample("session-timed-out", Phase.MAIL, "421 4.4.1 Connection timed out"),
    Sample("session-timed-out", Phase.MAIL, "421 4.4.1 Connection timed out. Total session duration: 00:20:55.2980000"),
    Sample("session-timed-out", Phase.MAIL, "421 4.4.2 Timeout waiting for client input {front}"),
    Sample("ehlo-name", Phase.EHLO, "501 5.5.4 Invalid domain name {front}"),
    Sample("ehlo-name", Phase.STARTTLS, "501 5.5.4 Invalid domain name {front}"),
    Sample("starttls-first", Phase.MAIL, "530 5.7.0 Must issue a STARTTLS command first"),
    Sample("unrecognized-command", Phase.MAIL, "500 5.3.3 Unrecognized command 'MAIL' {front}"),
    Sample("bad-sequence", Phase.MAIL, "503 5.5.1 Bad sequence of commands"),
    Sample("front-end-busy", Phase.GREETING, "451 4.3.2 Temporary server error. Please try again later ATTR2"),
    Sample(
        "temporary-server-error", Phase.DOT, "451 4.3.2 Temporary server error. Please try again later ATTR2 {back}"
    ),
    Sample(
        "temporary-server-error", Phase.MAIL, "451 4.7.0 Temporary server error. Please try again later. PRX4 {front}"
    ),
    Sample("insufficient-resources", Phase.MAIL, "452 4.3.1 Insufficient system resources (TSTE)"),
    Sample(
        "not-replicated",
        Phase.DOT,
        "451 4.4.0 Message failed to be replicated: Message could not be made redundant",
    ),
)

_LOGIN = (
    Sample(
        "smtp-auth-disabled-tenant",
        Phase.AUTH,
        UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled "
        "for more information. {front}",
    ),
    Sample(
        "smtp-auth-disabled-mailbox",
        Phase.AUTH,
        UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled "
        "for more information. {front}",
    ),
    Sample(
        "security-defaults",
        Phase.AUTH,
        UNSUCCESSFUL + "user is locked by your organization's security defaults policy. Contact your administrator. "
        "{front}",
    ),
    Sample(
        "conditional-access",
        Phase.AUTH,
        UNSUCCESSFUL + "the request did not meet the criteria to be authenticated successfully. Contact your "
        "administrator. {front}",
    ),
    Sample("basic-auth-disabled", Phase.AUTH, UNSUCCESSFUL + "basic authentication is disabled. {front}"),
    Sample("credentials-incorrect", Phase.AUTH, UNSUCCESSFUL + "the user credentials were incorrect. {front}"),
    Sample("account-locked", Phase.AUTH, UNSUCCESSFUL + "account locked. Contact your administrator. {front}"),
    Sample("account-issue", Phase.AUTH, UNSUCCESSFUL + "account has an issue. Contact your administrator. {front}"),
    Sample("sts-unreachable", Phase.AUTH, UNSUCCESSFUL + "the federated STS service was unreachable. {front}"),
    Sample("sts-unreachable", Phase.AUTH, UNSUCCESSFUL + "federated STS service was unreachable. {front}"),
    Sample("sts-without-https", Phase.AUTH, UNSUCCESSFUL + "the federated STS URL does not support HTTPS. {front}"),
    Sample(
        "organization-disallows",
        Phase.AUTH,
        UNSUCCESSFUL + "the organization configuration doesn't allow this authentication request. {front}",
    ),
    Sample("login-against-policy", Phase.AUTH, UNSUCCESSFUL + "user or tenant not allowed. {front}"),
    Sample(
        "basic-auth-retired",
        Phase.AUTH,
        "550 5.7.30 Basic authentication is not supported for Client Submission. {front}",
    ),
    Sample("authentication-unsuccessful", Phase.AUTH, "535 5.7.3 Authentication unsuccessful {front}"),
    Sample("authentication-type", Phase.AUTH, "504 5.7.4 Unrecognized authentication type {front}"),
    Sample("xoauth2-malformed", Phase.AUTH, "501 5.5.121 Invalid XOAUTH2 argument"),
    Sample("xoauth2-malformed", Phase.AUTH, "501 5.5.124 Invalid XOAUTH2 auth data"),
    Sample("token-expired", Phase.AUTH, "501 5.5.127 Token will expire soon error"),
    Sample("token-expired", Phase.AUTH, "535 5.7.142 Token will expire soon"),
    Sample("token-expired", Phase.AUTH, "535 5.7.143 Expired token"),
    Sample("api-permissions", Phase.AUTH, "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions"),
    Sample(
        "app-not-allowed",
        Phase.AUTH,
        "550 5.7.240 The application is not allowed for use with this High Volume Email account",
    ),
    Sample("challenge-after-token", Phase.AUTH, "334 eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiQmVhcmVyIn0="),
    Sample("login-proxy-failed", Phase.AUTH, "451 4.7.0 Temporary server error. Please try again later. PRX4 {front}"),
    Sample("login-proxy-failed", Phase.AUTH, "451 4.7.0 Temporary server error. Please try again later. PRX17 {front}"),
    Sample("login-not-now", Phase.AUTH, "454 4.7.0 Temporary authentication failure"),
)

_ENVELOPE = (
    Sample("not-authenticated", Phase.MAIL, "530 5.7.57 Client not authenticated to send mail. {front}"),
    Sample(
        "not-authenticated",
        Phase.MAIL,
        "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM {front}",
    ),
    Sample(
        "submission-rate",
        Phase.MAIL,
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
    ),
    Sample(
        "no-send-as-right",
        Phase.MAIL,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender {front}",
    ),
    Sample(
        "no-send-as-right",
        Phase.DOT,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender {back}",
    ),
    Sample("invalid-sender", Phase.MAIL, "501 5.1.7 Invalid address"),
    Sample("invalid-recipient", Phase.RCPT, "501 5.1.3 Invalid address"),
    Sample("invalid-recipient", Phase.RCPT, "501 5.1.4 Recipient address reserved by RFC 2606"),
    Sample("invalid-recipient", Phase.RCPT, "501 5.1.6 Recipient addresses in single label domains not accepted"),
    Sample("too-many-recipients", Phase.RCPT, "452 4.5.3 Too many recipients"),
    Sample("too-many-recipients-later", Phase.DOT, "452 4.5.3 Too many recipients"),
    Sample("recipient-limit", Phase.DOT, "550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients {back}"),
    Sample("unable-to-relay", Phase.RCPT, "550 5.7.1 Unable to relay"),
    Sample("unable-to-relay", Phase.RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
    Sample("tenant-attribution", Phase.RCPT, "550 5.7.64 TenantAttribution; Relay Access Denied"),
    Sample("recipient-busy", Phase.DOT, "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded {back}"),
)

_MAILBOX = (
    Sample(
        "concurrent-connections",
        Phase.DOT,
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more "
        "information. {back}",
    ),
    Sample("concurrent-connections", Phase.DOT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded {back}"),
    Sample(
        "mailbox-logon-failure",
        Phase.DOT,
        f"430 4.2.0 STOREDRV; mailbox logon failure; {SUBMISSION}ConnectionFailedTransientException."
        "MapiExceptionLogonFailed; Failed to process message due to a transient exception with message Unable to "
        "open message store. {back}",
    ),
    Sample(
        "submission-quota",
        Phase.DOT,
        f"554 5.2.0 {SUBMISSION}SubmissionQuotaExceededException{PERMANENT}The message can't be submitted because "
        "the sender's submission quota was exceeded. {back}",
    ),
    Sample("submission-quota", Phase.DOT, "550 5.2.2 Submission quota exceeded"),
    Sample(
        "daily-recipient-limit",
        Phase.DOT,
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients {back}",
    ),
    Sample(
        "folder-full",
        Phase.DOT,
        f"554 4.3.2 mailbox busy; {SUBMISSION}QuotaExceededException.MapiExceptionMessagePerFolderCountQuotaExceeded"
        f"{PERMANENT}Cannot submit message. {{back}}",
    ),
    Sample(
        "mailbox-full",
        Phase.DOT,
        f"554 5.2.2 mailbox full; {SUBMISSION}QuotaExceededException.MapiExceptionShutoffQuotaExceeded{PERMANENT}"
        "Cannot save changes made to an item. {back}",
    ),
    Sample(
        "mailbox-full",
        Phase.DOT,
        f"554 5.2.2 mailbox full; {SUBMISSION}QuotaExceededException.MapiExceptionQuotaExceeded {{back}}",
    ),
    Sample(
        "mailbox-full",
        Phase.DOT,
        "554 5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information.; "
        f"{SUBMISSION}QuotaExceededException.MapiExceptionQuotaExceeded{PERMANENT}[BeginDiagnosticData]Cannot submit "
        "message. 1.84300:01000000[EndDiagnosticData] {back}",
    ),
    Sample(
        "mailbox-license",
        Phase.DOT,
        f"554 5.2.0 {SUBMISSION}InvalidLicenseException{PERMANENT}The mailbox has no license. {{back}}",
    ),
    Sample("outbound-spam-suspended", Phase.DOT, SPAM + "Suspend, ShowTierUpgrade. {back}"),
    Sample("outbound-spam-suspended", Phase.DOT, SPAM + "HipSend, ShowTierUpgrade. {back}"),
    Sample("outbound-spam-suspended", Phase.DOT, SPAM + "HipNotify, ShowTierUpgrade. {back}"),
    Sample("outbound-spam-quota", Phase.DOT, SPAM + "RefuseQuota, ShowTierUpgrade. {back}"),
    Sample("outbound-spam-tier", Phase.DOT, SPAM + "ShowTierUpgrade. {back}"),
    Sample("outbound-spam-throttled", Phase.DOT, SPAM + "Throttle. {back}"),
    Sample("outbound-spam-throttled", Phase.DOT, SPAM + "TransientError. {back}"),
    Sample("outbound-spam", Phase.DOT, SPAM + "SomethingNew. {back}"),
    Sample("throttled-mailbox-full", Phase.DOT, "550 5.2.251 Sender throttled due to continuous mailbox full errors."),
    Sample(
        "throttled-send-as-denied", Phase.DOT, "550 5.2.252 Sender throttled due to continuous send as denied errors."
    ),
    Sample(
        "throttled-invalid-license", Phase.DOT, "550 5.2.253 Sender throttled due to continuous invalid license errors."
    ),
    Sample(
        "throttled-too-many-recipients",
        Phase.DOT,
        "550 5.2.254 Sender throttled due to continuous too many recipients errors.",
    ),
    Sample(
        "throttled-invalid-recipients",
        Phase.DOT,
        "550 5.2.255 Sender throttled due to continuous invalid recipients errors.",
    ),
)

_CONTENT = (
    Sample(
        "send-as-denied",
        Phase.DOT,
        "554 5.2.252 SendAsDenied; a@contoso.example not allowed to send as b@contoso.example; "
        f"{SUBMISSION}SendAsDeniedException.MapiExceptionSendAsDenied{PERMANENT}[BeginDiagnosticData]Cannot submit "
        "message. 0.35250:0A009A11, 1.36674:0A000000[EndDiagnosticData] {back}",
    ),
    Sample(
        "send-as-denied",
        Phase.DOT,
        f"554 5.2.0 {SUBMISSION}SendAsDeniedException.MapiExceptionSendAsDenied{PERMANENT}Cannot submit message. "
        "{back}",
    ),
    Sample(
        "over-send-size",
        Phase.DOT,
        "554 5.2.0 STOREDRV.Deliver.Exception:MapiExceptionMaxSubmissionExceeded; Message size exceeds maximum size "
        f"limit.; {SUBMISSION}MessageSubmissionExceededException.MapiExceptionMaxSubmissionExceeded; Failed to "
        "process message due to a permanent exception {back}",
    ),
    Sample("header-too-large", Phase.DOT, "552 5.3.4 Header size exceeds fixed maximum size"),
    Sample("too-large", Phase.MAIL, "552 5.3.4 Message size exceeds fixed maximum message size"),
    Sample(
        "store-transient",
        Phase.DOT,
        f"451 4.2.0 {SUBMISSION}StorageTransientException; Failed to process message due to a transient exception "
        "with message The store is busy. {back}",
    ),
    Sample("store-transient", Phase.DOT, f"554 5.2.0 {SUBMISSION}ServerThrottledException{PERMANENT}Busy. {{back}}"),
    Sample("back-end-fault", Phase.DOT, "451 4.3.111 Temporary server error. Please try again later MRH1 {back}"),
    Sample(
        "several-from-addresses",
        Phase.DOT,
        "550 5.1.20 Multiple From addresses are not allowed without Sender address {back}",
    ),
    Sample("invalid-content", Phase.DOT, "554 5.6.0 Invalid message content {back}"),
    Sample(
        "invalid-content",
        Phase.DOT,
        f"554 5.6.0 {SUBMISSION}ConversionFailedException{PERMANENT}Content conversion failed. {{back}}",
    ),
    Sample(
        "bare-line-feeds",
        Phase.DOT,
        "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA "
        "and receiving system does not support BDAT {back}",
    ),
    Sample(
        "from-header",
        Phase.DOT,
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant {back}",
    ),
    Sample("store-deferred", Phase.DOT, f"450 4.2.0 {SUBMISSION}MailboxInfoStaleException {{back}}"),
    Sample("store-refused", Phase.DOT, f"554 5.2.0 {SUBMISSION}SomethingPermanentException{PERMANENT}No. {{back}}"),
)

_OUTBOUND = (
    Sample("sender-restricted", Phase.DOT, "550 5.1.8 Access denied, bad outbound sender AS(42004)"),
    Sample("account-banned", Phase.DOT, "550 5.7.501 Access denied, spam abuse detected"),
    Sample("account-banned", Phase.DOT, "550 5.7.502 Access denied, banned sender"),
    Sample("account-banned", Phase.DOT, "550 5.7.503 Access denied, banned sender"),
    Sample(
        "trial-external-limit",
        Phase.DOT,
        "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending "
        "email to external recipients (tenant external recipient rate limit)",
    ),
    Sample(
        "tenant-external-limit",
        Phase.DOT,
        "550 5.7.233 - Your message can't be sent because your tenant has exceeded its daily limit for sending email "
        "to external recipients (tenant external recipient rate limit)",
    ),
    Sample("onmicrosoft-limit", Phase.DOT, "550 5.7.236 The limit of this domain is exceeded"),
    Sample("tenant-over-threshold", Phase.DOT, "550 5.7.705 Access denied, tenant has exceeded threshold."),
    Sample("address-not-accepted", Phase.DOT, "550 5.7.708 Access denied, traffic not accepted from this IP."),
    Sample("unregistered-domain", Phase.DOT, "550 5.7.750 Client blocked from sending from unregistered domain"),
    Sample("tenant-blocked", Phase.DOT, "550 5.7.800 Access denied"),
    Sample(
        "tenant-block-list",
        Phase.DOT,
        "550 5.7.703 Your message can't be delivered because messages to b@example.net are blocked by your "
        "organization using Tenant Allow Block List.",
    ),
    Sample(
        "forwarding-forbidden",
        Phase.DOT,
        "550 5.7.520 Access denied, Your organization does not allow external forwarding.",
    ),
    Sample("recipient-over-limit", Phase.DOT, "550 5.2.121 Recipient's per hour message receive limit is exceeded"),
    Sample("recipient-over-limit", Phase.RCPT, "550 5.2.122 The recipient has exceeded their limit"),
    Sample("unknown-recipient", Phase.RCPT, "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"),
    Sample("unknown-recipient", Phase.RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found"),
    Sample("unknown-recipient", Phase.RCPT, "550 5.4.1 Recipient address rejected: Access denied"),
    Sample("recipient-policy", Phase.RCPT, "550 5.7.1 TRANSPORT.RULES.RejectMessage; not authorized"),
    Sample("recipient-policy", Phase.RCPT, "550 5.7.124 Sender not in allowed-senders list"),
    Sample("recipient-policy", Phase.RCPT, "550 5.7.133 Sender not authenticated for group"),
    Sample("authentication-of-domain", Phase.DOT, "550 5.7.509 Access denied, sending domain does not pass DMARC"),
    Sample("routing-fault", Phase.DOT, "554 5.4.14 Hop count exceeded - possible mail loop"),
    Sample("routing-fault", Phase.DOT, "550 5.4.300 Message expired"),
    Sample("expired-on-the-way", Phase.DOT, "450 4.4.7 Message expired"),
)

SAMPLES: tuple[Sample, ...] = (
    *_OPENING,
    *_LOGIN,
    *_ENVELOPE,
    *_MAILBOX,
    *_CONTENT,
    *_OUTBOUND,
    *sender_texts.SAMPLES,
)
