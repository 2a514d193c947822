"""Codes that Exchange's reports and traces bring after acceptance, with the meaning that they must have.

The codes are those of Microsoft's page of non-delivery reports, and of reports and traces in public issues. The texts
are shortened.
"""

from typing import NamedTuple

from app.mail.outcome.verdict import Responsible

SENDER, ADDRESS, RECEIVER = Responsible.SENDER, Responsible.ADDRESS, Responsible.RECEIVER
REPUTATION, MICROSOFT = Responsible.REPUTATION, Responsible.MICROSOFT


class Code(NamedTuple):
    """Code, text, and the row, cause and permanence that belong to it."""

    code: str
    text: str
    rule: str
    responsible: Responsible
    permanent: bool


def _each(codes: str, text: str, rule: str, cause: Responsible, *, temporary: bool = False) -> tuple[Code, ...]:
    """Return a row for each code; one of class 4 is temporary in any case."""
    return tuple(Code(code, text, rule, cause, code[0] == "5" and not temporary) for code in codes.split())


_ADDRESS = (
    *_each("5.1.1", "smtp;550 5.1.1 <b@example.net>... User Unknown", "bounced-unknown-recipient", ADDRESS),
    *_each("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
           "bounced-unknown-recipient", ADDRESS),
    *_each("5.1.2", "smtp;550 5.1.2 Host unknown (Name server: mx.example.net: host not found)",
           "bounced-domain-without-mail", ADDRESS),
    *_each("5.1.2", "invalid X.400 address", "bounced-destination-system", ADDRESS),
    *_each("5.4.310", "550 5.4.310 DNS domain example.net does not exist [Message=InfoDomainNonexistent]",
           "bounced-domain-unknown", ADDRESS),
    *_each("5.2.1", "smtp;550 5.2.1 The email account that you tried to reach is disabled",
           "bounced-recipient-disabled", ADDRESS),
    *_each("5.1.351", "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 no such user",
           "bounced-recipient-rejected", ADDRESS),
    *_each("5.4.1", "Recipient address rejected: Access denied", "bounced-recipient-rejected", ADDRESS),
    *_each("5.5.0", "Requested action not taken: mailbox unavailable", "bounced-recipient-rejected", ADDRESS),
    *_each("5.7.504", "[b@example.net]: Recipient address rejected: Access denied", "bounced-recipient-rejected",
           ADDRESS),
    *_each("5.7.505", "Access denied, banned recipient", "bounced-recipient-rejected", ADDRESS),
    *_each("5.1.351 5.4.1", "no such person", "bounced-unknown-to-server", ADDRESS),
    *_each("5.1.3 5.1.4 5.1.5 5.1.6", "Invalid address", "bounced-invalid-address", ADDRESS),
    *_each("5.4.4", "SMTPSEND.DNS.NonExistentDomain; nonexistent domain", "bounced-no-route", ADDRESS),
    *_each("5.1.0", "Sender denied", "bounced-address-unresolved", RECEIVER),
)  # fmt: skip

_RECEIVER = (
    *_each("4.2.2 5.2.2", "smtp;550 <b@example.net>... Mailbox Full", "bounced-recipient-mailbox-full", RECEIVER,
           temporary=True),
    *_each("5.2.2", "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionQuota",
           "bounced-recipient-mailbox-full", RECEIVER, temporary=True),
    *_each("5.2.121 5.2.122", "Recipient's per hour message receive limit exceeded", "bounced-recipient-over-limit",
           RECEIVER, temporary=True),
    *_each("4.3.2", "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", "bounced-recipient-busy", RECEIVER),
    *_each("5.2.3", "RESOLVER.RST.RecipSizeLimit; message too large for this recipient", "bounced-over-recipient-size",
           RECEIVER),
    *_each("5.3.4", "Message too big for system", "bounced-over-server-size", RECEIVER),
    *_each("5.2.1", "Content Filter agent quarantined this message", "bounced-quarantined-by-filter", RECEIVER),
    *_each("5.2.1", "mailbox cannot be accessed; STOREDRV.Deliver", "bounced-mailbox-unusable", RECEIVER),
    *_each("5.3.2", "STOREDRV.Deliver: missing or bad StoreDriver MDB properties", "bounced-mailbox-unusable",
           RECEIVER),
    *_each("5.2.4", "Mailing list expansion problem", "bounced-list-expansion", RECEIVER),
    *_each("5.2.14", "Misconfigured forwarding address", "bounced-forwarding-address", RECEIVER),
    *_each("5.7.12 5.7.13 5.7.124 5.7.129 5.7.133 5.7.134 5.7.135 5.7.136 5.7.193", "RESOLVER.RST.Restricted",
           "bounced-internal-only", RECEIVER),
    *_each("5.7.171", "Delivery not authorized, message refused", "bounced-data-loss-prevention", RECEIVER),
    *_each("5.7.900 5.7.950 5.7.999", "Delivery not authorized, message refused", "bounced-mail-flow-rule", RECEIVER),
    *_each("5.7.1", "TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy",
           "bounced-mail-flow-rule", RECEIVER),
    *_each("5.7.57", "Client was not authenticated to send anonymous mail during MAIL FROM",
           "bounced-authentication-required", RECEIVER),
    *_each("5.4.1 5.7.64", "TenantAttribution; Relay Access Denied", "bounced-no-relay", RECEIVER),
    *_each("5.7.1", "Unable to relay", "bounced-no-relay", RECEIVER),
    *_each("5.7.367", "Remote server returned not permitted to relay -> 554 5.7.1 Relaying denied", "bounced-no-relay",
           RECEIVER),
    *_each("5.0.350", "Requested action not taken: policy violation detected (AS345)", "bounced-by-policy", RECEIVER),
    *_each("5.0.0 5.0.350", "Remote server returned an error -> 554 rejected", "bounced-by-remote-server", RECEIVER),
    *_each("5.7.506 5.7.507 5.7.510 5.7.513", "Access denied", "bounced-customer-blocks", RECEIVER),
    *_each("5.7.1", "Delivery not authorized, message refused", "bounced-not-authorized", RECEIVER),
    *_each("4.4.4", "Mail sent to the wrong Office 365 region: hosted tenant which has no mail-enabled subscriptions",
           "bounced-tenant-without-mail", RECEIVER),
    *_each("5.3.190", "Journaling on-premises messages not supported when Journaling Archive is disabled",
           "bounced-journaling", RECEIVER),
    *_each("4.2.0 4.2.1 5.2.0", "mailbox problem", "bounced-mailbox-status", RECEIVER),
    *_each("4.3.0", "451 4.3.0 recipient error", "bounced-server-loaded", RECEIVER),
    *_each("5.3.1", "Mail system full", "bounced-server-loaded", RECEIVER, temporary=True),
    *_each("4.7.1", "Greylisted", "bounced-not-authorized", RECEIVER),
    *_each("4.3.1", "Insufficient system resources", "bounced-server-loaded", RECEIVER),
    *_each("4.5.3", "Too many recipients", "bounced-server-loaded", RECEIVER),
    *_each("4.7.500", "Server busy. Please try again later from [192.0.2.1]. (AS761)", "bounced-server-loaded",
           RECEIVER),
    *_each("4.7.652", "The mail server has exceeded the maximum number of connections.", "bounced-server-loaded",
           RECEIVER),
    *_each("4.7.700", "PFA agent busy, please try again.", "bounced-server-loaded", RECEIVER),
    *_each("5.3.0 5.3.3 5.3.5 5.4.0 5.5.2", "System incorrectly configured", "bounced-server-setup", RECEIVER),
    *_each("4.3.2 5.3.2", "System not accepting network messages", "bounced-no-mail-service", RECEIVER, temporary=True),
)  # fmt: skip

_CONNECTORS = (
    *_each("5.7.51", "RestrictDomainsToIPAddresses or RestrictDomainsToCertificate", "bounced-partner-connector",
           RECEIVER),
    *_each("5.7.3", "Cannot achieve Exchange Server authentication", "bounced-authentication-required", RECEIVER),
    *_each("5.5.0", "domain [contoso.com] mismatches client ip", "bounced-by-remote-server", RECEIVER),
    *_each("5.7.0", "Local policy violation", "bounced-not-authorized", RECEIVER),
)  # fmt: skip

_TRANSPORT = (
    *_each("4.4.312 5.4.312", "Message expired, DNS query failed(ErrorRetry)", "bounced-dns", RECEIVER, temporary=True),
    *_each("4.4.316 5.4.316", "Message expired, connection refused(Socket error code 10061)",
           "bounced-connection-refused", RECEIVER, temporary=True),
    *_each("4.4.2 4.4.318 5.4.318", "Connection was closed abruptly (SuspiciousRemoteServerError)",
           "bounced-connection-reset", RECEIVER, temporary=True),
    *_each("4.4.317 5.4.317", "Message expired, cannot connect to remote server(451 5.7.3 STARTTLS is required)",
           "bounced-cannot-connect-securely", RECEIVER),
    *_each("4.4.317 5.4.317", "Cannot connect to remote server [Message=Failed to connect. Winsock error code: 995]",
           "bounced-cannot-connect", RECEIVER, temporary=True),
    *_each("4.4.1", "Connection timed out", "bounced-cannot-connect", RECEIVER),
    *_each("4.4.8 5.4.8", "MX hosts of example.net failed MTA-STS validation", "bounced-mta-sts", RECEIVER),
    *_each("4.7.5 5.7.5", "Remote certificate failed MTA-STS validation", "bounced-mta-sts", RECEIVER),
    *_each("4.7.321 4.7.322 4.7.323 4.7.324 4.7.325 5.7.321 5.7.322 5.7.323 5.7.324 5.7.325",
           "The domain failed DANE validation", "bounced-dane", RECEIVER),
    *_each("4.4.7 5.4.300", "Message expired", "bounced-expired", RECEIVER, temporary=True),
    *_each("5.4.6 5.4.14", "Hop count exceeded - possible mail loop", "bounced-loop", RECEIVER),
    *_each("4.4.3 4.4.4 4.4.5 4.4.400 5.4.2 5.4.3 5.4.5", "Error communicating with the host", "bounced-routing",
           RECEIVER, temporary=True),
    *_each("5.4.12 5.4.20", "Loop", "bounced-loop", RECEIVER),
    *_each("5.4.11", "Agent generated message depth exceeded", "bounced-loop", RECEIVER),
    *_each("4.4.0 4.4.22 4.4.24 4.4.25 4.4.28", "Message failed to be replicated: the operation was canceled",
           "bounced-replication", MICROSOFT),
    *_each("4.3.2 4.4.3 4.7.0", "Temporary server error. Please try again later ATTR18", "bounced-temporary-fault",
           MICROSOFT),
)  # fmt: skip

_SENDER = (
    *_each("4.7.26 5.7.26", "must pass either SPF or DKIM validation, this message is not signed",
           "bounced-domain-authentication", SENDER),
    *_each("5.7.23", "The message was rejected because of Sender Policy Framework violation",
           "bounced-domain-authentication", SENDER),
    *_each("5.7.509", "Access denied, sending domain does not pass DMARC verification",
           "bounced-domain-authentication", SENDER),
    *_each("5.7.515", "Access denied, sending domain contoso.com doesn't meet the required authentication level",
           "bounced-outlook-authentication", SENDER),
    *_each("5.7.25", "Access denied, the sending IPv6 address must have a reverse DNS record", "bounced-reverse-dns",
           SENDER),
    *_each("5.1.7 5.1.8", "501 Sender address rejected", "bounced-sender-address", SENDER),
    *_each("5.1.90", "you've reached your daily limit for message recipients", "bounced-daily-limit", SENDER,
           temporary=True),
    *_each("5.2.2", "Submission quota exceeded", "bounced-daily-limit", SENDER, temporary=True),
    *_each("5.7.232", "your trial tenant has exceeded its daily limit for sending email to external recipients",
           "bounced-trial-limit", SENDER, temporary=True),
    *_each("5.7.233", "your tenant has exceeded its daily limit for sending email to external recipients",
           "bounced-tenant-limit", SENDER, temporary=True),
    *_each("5.7.236", "The limit of this domain is exceeded", "bounced-onmicrosoft-limit", SENDER, temporary=True),
    *_each("5.7.703", "blocked by your organization using Tenant Allow Block List", "tenant-block-list", SENDER),
    *_each("5.7.750", "Client blocked from sending from unregistered domains", "unregistered-domain", SENDER),
    *_each("5.0.350", "x-dg-ref header is too long", "bounced-rich-text", SENDER),
    *_each("5.5.6", "Invalid message content", "bounced-content", SENDER),
    *_each("5.6.11", "Invalid characters", "bare-line-feeds", SENDER),
    *_each("5.7.512", "message must be RFC 5322 section 3.6.2 compliant", "from-header", SENDER),
    *_each("5.7.520", "Your organization does not allow external forwarding", "forwarding-forbidden", SENDER),
    *_each("5.1.20", "Multiple From addresses", "several-from-addresses", SENDER),
    *_each("5.7.60", "Client does not have permissions to send as this sender", "no-send-as-right", SENDER),
)  # fmt: skip

_REPUTATION = (
    *_each("5.1.8", "Access denied, bad outbound sender AS(42004)", "sender-restricted", REPUTATION),
    *_each("5.7.501 5.7.502 5.7.503", "Access denied, spam abuse detected", "account-banned", REPUTATION),
    *_each("5.7.700 5.7.705 5.7.749", "Access denied, tenant has exceeded threshold", "tenant-over-threshold",
           REPUTATION),
    *_each("5.7.708", "Access denied, traffic not accepted from this IP", "address-not-accepted", REPUTATION),
    *_each("4.7.650 4.7.651", "The mail server has been temporarily rate limited due to IP reputation",
           "bounced-rate-limited", REPUTATION),
    *_each("4.7.501 4.7.699 4.7.850 4.7.899", "Access denied, please try again later", "bounced-suspicious",
           REPUTATION),
    *_each("5.7.508", "Access denied, [192.0.2.1] has exceeded permitted limits within range",
           "bounced-address-range-limit", REPUTATION, temporary=True),
    *_each("5.7.350 5.7.500", "Remote server returned message detected as spam -> 554 5.7.1 rejected",
           "bounced-content-is-spam", REPUTATION),
    *_each("5.7.511", "Access denied, banned sender[192.0.2.1]", "bounced-address-banned", REPUTATION),
    *_each("5.7.606 5.7.649", "Access denied, banned sending IP [192.0.2.1]", "bounced-address-banned", REPUTATION),
    *_each("5.7.1", "messages weren't sent: part of their network is on our block list (S3150)", "bounced-block-list",
           REPUTATION),
)  # fmt: skip

CODES: tuple[Code, ...] = (*_ADDRESS, *_RECEIVER, *_CONNECTORS, *_TRANSPORT, *_SENDER, *_REPUTATION)
