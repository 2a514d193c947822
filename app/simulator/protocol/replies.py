"""Replies of Exchange Online, verbatim. Error replies have the SMTP phase in which Exchange sends them.

A text can contain the placeholders `{frontend}` (host, date and session of the front end), `{backend}` (host of the
mailbox's back end), `{mailbox}`, `{sender}` and `{verb}`, which `fill` replaces. If Microsoft's text is known only
in part, the rest is a short plausible text. ROWS maps names to the error replies.
"""

from collections.abc import Mapping
from typing import Self

from app.mail.outcome.attempt import Phase


class ErrorReply(str):
    """Text of an error reply, with its phase. Lines are joined by LF."""

    __slots__ = ("phase",)
    phase: Phase

    def __new__(cls, phase: Phase, text: str) -> Self:
        """Return the text with its phase."""
        reply = super().__new__(cls, text)
        reply.phase = phase
        return reply

    @property
    def text(self) -> str:
        """Text as a plain str."""
        return str(self)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders in `text`. str.format cannot be used: texts of Exchange contain braces."""
    if "{" not in text:
        return text
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def encode(text: str) -> bytes:
    """Return the bytes of a reply (RFC 5321 §4.2.1), with the code before every line."""
    if "\n" not in text:
        return text.encode("utf-8", "surrogateescape") + b"\r\n"
    code, lines = text[:3], text.split("\n")
    texts = [line[4:] if line[:3] == code else line for line in lines]
    framed = [f"{code}-{line}\r\n" for line in texts[:-1]] + [f"{code} {texts[-1]}\r\n"]
    return "".join(framed).encode("utf-8", "surrogateescape")


# Host names in replies.
SMTP_HOST = "SY5P282CA0097.outlook.office365.com"  # in the greeting and in EHLO
FRONTEND = "SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM"
BACKEND = "SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM"

# Replies without errors.
READY_FOR_TLS = "220 2.0.0 SMTP server ready"
AUTHENTICATED = "235 2.7.0 Authentication successful"
ASK_USERNAME = "334 VXNlcm5hbWU6"
ASK_PASSWORD = "334 UGFzc3dvcmQ6"  # noqa: S105 - base64 of "Password:"
ASK_TOKEN = "334 "  # noqa: S105 - an empty challenge
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
START_INPUT = "354 Start mail input; end with <CRLF>.<CRLF>"
RESETTING = "250 2.0.0 Resetting"
NOOP_OK = "250 2.0.0 OK"
CANNOT_VERIFY = "252 2.1.5 Cannot VRFY user"
CLOSING = "221 2.0.0 Service closing transmission channel"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
INVALID_ARGUMENTS = "501 5.5.4 Invalid arguments"
LINE_TOO_LONG = "500 5.5.2 Line too long"
UNKNOWN_VERB = "500 5.3.3 Unrecognized command '{verb}' [{frontend}]"

# Connect, EHLO, STARTTLS.
SERVICE_NOT_ACTIVE = ErrorReply(Phase.GREETING, "421 4.3.2 Service not active [{frontend}]")
SERVICE_NOT_AVAILABLE = ErrorReply(Phase.AUTH, "421 4.3.2 Service not available [{frontend}]")
CONNECTION_TIMED_OUT = ErrorReply(Phase.MAIL, "421 4.4.1 Connection timed out")
LEGACY_TLS = ErrorReply(
    Phase.AUTH,
    "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
    "Visit https://aka.ms/smtp_auth_tls",
)
INVALID_DOMAIN_NAME = ErrorReply(Phase.EHLO, "501 5.5.4 Invalid domain name [{frontend}]")
MUST_STARTTLS = ErrorReply(Phase.MAIL, "530 5.7.0 Must issue a STARTTLS command first")
UNRECOGNIZED_COMMAND = ErrorReply(Phase.MAIL, "500 5.3.3 Unrecognized command 'MAIL' [{frontend}]")
TEMPORARY_SERVER_ERROR = ErrorReply(Phase.DOT, "451 4.3.2 Temporary server error. Please try again later ATTR1")
INSUFFICIENT_RESOURCES = ErrorReply(Phase.MAIL, "452 4.3.1 Insufficient system resources (TSTE)")
NOT_REPLICATED = ErrorReply(Phase.DOT, "451 4.4.0 Message failed to be replicated: Message could not be made redundant")

# AUTH.
UNRECOGNIZED_AUTHENTICATION = ErrorReply(Phase.AUTH, "504 5.7.4 Unrecognized authentication type [{frontend}]")
AUTHENTICATION_UNSUCCESSFUL = ErrorReply(Phase.AUTH, "535 5.7.3 Authentication unsuccessful [{frontend}]")
SMTP_AUTH_DISABLED_TENANT = ErrorReply(
    Phase.AUTH,
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. [{frontend}]",
)
SMTP_AUTH_DISABLED_MAILBOX = ErrorReply(
    Phase.AUTH,
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. [{frontend}]",
)
SECURITY_DEFAULTS = ErrorReply(
    Phase.AUTH,
    "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. "
    "Contact your administrator. [{frontend}]",
)
CONDITIONAL_ACCESS = ErrorReply(
    Phase.AUTH,
    "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. "
    "Contact your administrator. [{frontend}]",
)
BASIC_AUTH_DISABLED = ErrorReply(
    Phase.AUTH, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [{frontend}]"
)
CREDENTIALS_INCORRECT = ErrorReply(
    Phase.AUTH, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [{frontend}]"
)
ACCOUNT_LOCKED = ErrorReply(Phase.AUTH, "535 5.7.139 Authentication unsuccessful, account locked. [{frontend}]")
FEDERATED_STS_UNREACHABLE = ErrorReply(
    Phase.AUTH, "535 5.7.139 Authentication unsuccessful, the federated STS service was unreachable. [{frontend}]"
)
FEDERATED_STS_NOT_HTTPS = ErrorReply(
    Phase.AUTH, "535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS. [{frontend}]"
)
ORGANIZATION_DISALLOWS = ErrorReply(
    Phase.AUTH,
    "535 5.7.139 Authentication unsuccessful, "
    "the organization configuration doesn't allow this authentication request. [{frontend}]",
)
BASIC_AUTH_RETIRED = ErrorReply(
    Phase.AUTH, "550 5.7.30 Basic authentication is not supported for Client Submission. [{frontend}]"
)
PROXY_FAILED = ErrorReply(Phase.AUTH, "451 4.7.0 Temporary server error. Please try again later. PRX4 [{frontend}]")
TEMPORARY_AUTHENTICATION_FAILURE = ErrorReply(Phase.AUTH, "454 4.7.0 Temporary authentication failure")
INVALID_XOAUTH2_ARGUMENT = ErrorReply(Phase.AUTH, "501 5.5.121 Invalid XOAUTH2 argument")
INVALID_XOAUTH2_DATA = ErrorReply(Phase.AUTH, "501 5.5.124 Invalid XOAUTH2 auth data")
TOKEN_EXPIRES_SOON_501 = ErrorReply(Phase.AUTH, "501 5.5.127 Token will expire soon error")
TOKEN_EXPIRES_SOON = ErrorReply(Phase.AUTH, "535 5.7.142 Token will expire soon")
TOKEN_EXPIRED = ErrorReply(Phase.AUTH, "535 5.7.143 Expired token")
INVALID_API_PERMISSIONS = ErrorReply(Phase.AUTH, "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions")
APPLICATION_NOT_ALLOWED = ErrorReply(
    Phase.AUTH, "550 5.7.240 The application is not allowed for use with this High Volume Email account"
)
GMAIL_STYLE_CHALLENGE = ErrorReply(Phase.AUTH, "334 eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiQmVhcmVyIn0=")

# MAIL and RCPT.
NOT_AUTHENTICATED = ErrorReply(Phase.MAIL, "530 5.7.57 Client not authenticated to send mail. [{frontend}]")
NOT_AUTHENTICATED_535 = ErrorReply(
    Phase.MAIL,
    "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, "
    "SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. [{frontend}]",
)
NOT_AUTHENTICATED_OLD = ErrorReply(
    Phase.MAIL,
    "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM [{frontend}]",
)
SUBMISSION_RATE = ErrorReply(
    Phase.MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit"
)
NO_SEND_AS_PERMISSION = ErrorReply(
    Phase.MAIL, "550 5.7.60 SMTP; Client does not have permissions to send as this sender [{frontend}]"
)
INVALID_SENDER = ErrorReply(Phase.MAIL, "501 5.1.7 Invalid address")
SIZE_EXCEEDED = ErrorReply(Phase.MAIL, "552 5.3.4 Message size exceeds fixed maximum message size")
INVALID_RECIPIENT = ErrorReply(Phase.RCPT, "501 5.1.3 Invalid address")
INVALID_RECIPIENT_514 = ErrorReply(Phase.RCPT, "501 5.1.4 Recipient address reserved by RFC 2606")
INVALID_RECIPIENT_515 = ErrorReply(Phase.RCPT, "501 5.1.5 Recipient address reserved by RFC 2606")
INVALID_RECIPIENT_516 = ErrorReply(Phase.RCPT, "501 5.1.6 Recipient addresses in single label domains not accepted")
TOO_MANY_RECIPIENTS = ErrorReply(Phase.RCPT, "452 4.5.3 Too many recipients")
UNABLE_TO_RELAY = ErrorReply(Phase.RCPT, "550 5.7.1 Unable to relay")
UNABLE_TO_RELAY_54 = ErrorReply(Phase.RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain")
TENANT_ATTRIBUTION = ErrorReply(Phase.RCPT, "550 5.7.64 TenantAttribution; Relay Access Denied")

# After DATA.
CONCURRENT_CONNECTIONS = ErrorReply(
    Phase.DOT,
    "432 4.3.2 Concurrent connections limit exceeded. "
    "Visit https://aka.ms/concurrent_sending for more information. [Hostname={backend}]",
)
SENDER_THREAD_LIMIT = ErrorReply(
    Phase.DOT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname={backend}]"
)
MAILBOX_LOGON_FAILURE = ErrorReply(
    Phase.DOT,
    "430 4.2.0 STOREDRV; mailbox logon failure; "
    "STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to process "
    "message due to a transient exception with message Unable to open message store. [Hostname={backend}]",
)
TRANSIENT_STORE_FAULT = ErrorReply(
    Phase.DOT,
    "451 4.2.0 STOREDRV.Submission.Exception:StorageTransientException; Failed to process message due to a transient "
    "exception with message The store is busy. [Hostname={backend}]",
)
BACKEND_FAULT = ErrorReply(
    Phase.DOT, "451 4.3.111 Temporary server error. Please try again later MRH1 [Hostname={backend}]"
)
SEND_AS_DENIED = ErrorReply(
    Phase.DOT,
    "554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {sender}; STOREDRV.Submission.Exception:"
    "SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with "
    "message [BeginDiagnosticData]Cannot submit message. 0.35250:0A009A11, 1.36674:0A000000, 1.61250:00000000, "
    "1.45378:02000000, 1.44866:44000000, 255.21970:4A000000[EndDiagnosticData] [Hostname={backend}]",
)
SEND_AS_DENIED_OLD = ErrorReply(
    Phase.DOT,
    "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process "
    "message due to a permanent exception with message Cannot submit message. [Hostname={backend}]",
)
_SPAM = (
    "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent "
    "exception with message WASCL UserAction verdict is not None. Actual verdict is "
)
OUTBOUND_SPAM_SUSPEND = ErrorReply(Phase.DOT, _SPAM + "Suspend, ShowTierUpgrade. [Hostname={backend}]")
OUTBOUND_SPAM_REFUSE_QUOTA = ErrorReply(Phase.DOT, _SPAM + "RefuseQuota, ShowTierUpgrade. [Hostname={backend}]")
OUTBOUND_SPAM_HIP_SEND = ErrorReply(Phase.DOT, _SPAM + "HipSend. [Hostname={backend}]")
OUTBOUND_SPAM_HIP_NOTIFY = ErrorReply(Phase.DOT, _SPAM + "HipNotify. [Hostname={backend}]")
OUTBOUND_SPAM_THROTTLE = ErrorReply(Phase.DOT, _SPAM + "Throttle. [Hostname={backend}]")
OUTBOUND_SPAM_TRANSIENT_ERROR = ErrorReply(Phase.DOT, _SPAM + "TransientError. [Hostname={backend}]")
SENDER_QUOTA_EXCEEDED = ErrorReply(
    Phase.DOT,
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a "
    "permanent exception with message The message can't be submitted because the sender's submission quota was "
    "exceeded. [Hostname={backend}]",
)
MAX_SUBMISSION_EXCEEDED = ErrorReply(
    Phase.DOT,
    "554 5.2.0 STOREDRV.Deliver.Exception:MapiExceptionMaxSubmissionExceeded; Message size exceeds maximum size "
    "limit.; STOREDRV.Submission.Exception:MessageSubmissionExceededException.MapiExceptionMaxSubmissionExceeded; "
    "Failed to process message due to a permanent exception [Hostname={backend}]",
)
MAILBOX_FULL = ErrorReply(
    Phase.DOT,
    "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException."
    "MapiExceptionShutoffQuotaExceeded; Failed to process message due to a permanent exception with message Cannot "
    "save changes made to an item. [Hostname={backend}]",
)
MAILBOX_FULL_NEWER = ErrorReply(
    Phase.DOT, "554 5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information. [Hostname={backend}]"
)
MULTIPLE_FROM = ErrorReply(
    Phase.DOT, "550 5.1.20 Multiple From addresses are not allowed without Sender address [Hostname={backend}]"
)
HEADER_SIZE_EXCEEDED = ErrorReply(Phase.DOT, "552 5.3.4 Header size exceeds fixed maximum size")
INVALID_CONTENT = ErrorReply(Phase.DOT, "554 5.6.0 Invalid message content [Hostname={backend}]")
CONTENT_CONVERSION = ErrorReply(
    Phase.DOT,
    "554 5.6.0 STOREDRV.Submission.Exception:ConversionFailedException; Failed to process message due to a permanent "
    "exception with message Content conversion failed. [Hostname={backend}]",
)
BARE_LINEFEEDS = ErrorReply(
    Phase.DOT,
    "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA "
    "and receiving system does not support BDAT [Hostname={backend}]",
)
NOT_RFC_5322 = ErrorReply(
    Phase.DOT,
    "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant [Hostname={backend}]",
)
DAILY_RECIPIENT_LIMIT = ErrorReply(
    Phase.DOT,
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients "
    "[Hostname={backend}]",
)

# Continuous error throttling.
THROTTLED_MAILBOX_FULL = ErrorReply(Phase.DOT, "550 5.2.251 Sender throttled due to continuous mailbox full errors.")
THROTTLED_SEND_AS_DENIED = ErrorReply(
    Phase.DOT, "550 5.2.252 Sender throttled due to continuous send as denied errors."
)
THROTTLED_INVALID_LICENSE = ErrorReply(
    Phase.DOT, "550 5.2.253 Sender throttled due to continuous invalid license errors."
)
THROTTLED_TOO_MANY_RECIPIENTS = ErrorReply(
    Phase.DOT, "550 5.2.254 Sender throttled due to continuous too many recipients errors."
)
THROTTLED_INVALID_RECIPIENTS = ErrorReply(
    Phase.DOT, "550 5.2.255 Sender throttled due to continuous invalid recipients errors."
)

# Variants of login, sender, tenant and rate errors: one sentence occurs with several codes and enhanced status codes.
NOT_AUTHENTICATED_550 = ErrorReply(
    Phase.MAIL,
    "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM [{frontend}]",
)
NO_SEND_AS_PERMISSION_571 = ErrorReply(
    Phase.MAIL, "550 5.7.1 Client does not have permissions to send as this sender [{frontend}]"
)
NO_SEND_ON_BEHALF_PERMISSION = ErrorReply(
    Phase.DOT, "550 5.7.61 Client does not have permissions to send on behalf of the from address [Hostname={backend}]"
)
DIRECT_SEND = ErrorReply(
    Phase.RCPT,
    "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources "
    "[{frontend}]",
)
BANNED_IP = ErrorReply(Phase.RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.7] (AS16012609) [{frontend}]")
TENANT_OVER_THRESHOLD = ErrorReply(
    Phase.DOT, "550 5.7.705 Access denied, tenant has exceeded threshold [Hostname={backend}]"
)
TENANT_OVER_THRESHOLD_707 = ErrorReply(
    Phase.DOT, "550 5.7.707 Access denied, tenant has exceeded threshold [Hostname={backend}]"
)
MAILBOX_DISABLED = ErrorReply(
    Phase.DOT,
    "554 5.2.1 mailbox disabled; STOREDRV.Submission.Exception:AccountDisabledException.MapiExceptionAccountDisabled; "
    "Failed to process message due to a permanent exception with message Cannot open mailbox. [Hostname={backend}]",
)
MESSAGE_LIMIT = ErrorReply(
    Phase.DOT, "432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account [Hostname={backend}]"
)
CONNECTION_LIMIT = ErrorReply(
    Phase.GREETING,
    "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
)
SIZE_EXCEEDED_523 = ErrorReply(
    Phase.DOT, "552 5.2.3 Message size exceeds fixed maximum message size [Hostname={backend}]"
)
CONTENT_IS_SPAM = ErrorReply(
    Phase.DOT,
    "554 5.7.520 Message blocked because it contains content identified as spam. AS(4810) [Hostname={backend}]",
)

ROWS: Mapping[str, ErrorReply] = {
    name.lower(): text for name, text in dict(globals()).items() if isinstance(text, ErrorReply)
}
