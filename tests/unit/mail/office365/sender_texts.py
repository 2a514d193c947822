"""Public replies about the sender's tenant, mailbox, endpoint and rate, and similar texts about others."""

from app.mail.outcome.attempt import Phase
from tests.unit.mail.office365.sample import PERMANENT, SUBMISSION, Sample

SAMPLES: tuple[Sample, ...] = (
    Sample("not-authenticated", Phase.MAIL, "550 5.7.57 Client not authenticated to send mail. {front}"),
    Sample(
        "not-authenticated",
        Phase.RCPT,
        "535 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM {front}",
    ),
    Sample("not-authenticated", Phase.MAIL, "530 5.7.1 Client was not authenticated"),
    Sample(
        "not-authenticated",
        Phase.MAIL,
        "550 5.7.1 Anonymous client does not have permissions to send as this sender",
    ),
    Sample("not-authenticated", Phase.MAIL, "550 5.7.0 Authentication required"),
    Sample(
        "no-send-as-login",
        Phase.MAIL,
        "535 5.7.1 Client does not have permissions to send as this sender",
    ),
    Sample("throttled-invalid-recipients", Phase.DOT, "550 5.2.254 Throttled: invalid recipients errors"),
    Sample("too-large", Phase.DOT, "552 5.2.3 Message size exceeds fixed maximum message size"),
    Sample(
        "mailbox-disabled",
        Phase.RCPT,
        f"554 5.2.1 mailbox disabled; {SUBMISSION}AccountDisabledException.MapiExceptionAccountDisabled {{back}}",
    ),
    Sample("mailbox-disabled", Phase.DOT, f"554 5.2.0 {SUBMISSION}MailboxUnavailableException {{back}}"),
    Sample("submit-denied", Phase.MAIL, "550 5.7.1 Client does not have permissions to submit to this server"),
    Sample("submission-disabled", Phase.AUTH, "550 5.7.1 Submission has been disabled for this account"),
    Sample("tenant-locked-out", Phase.AUTH, "535 5.7.3 Authentication unsuccessful. Tenant locked out"),
    Sample("authentication-unsuccessful-later", Phase.MAIL, "550 5.7.3 Authentication unsuccessful {front}"),
    Sample("no-send-as-right", Phase.MAIL, "550 5.7.1 Client does not have permissions to send as this sender"),
    Sample(
        "no-send-as-right",
        Phase.DOT,
        "550 5.7.61 Client does not have permissions to send on behalf of the from address {back}",
    ),
    Sample("send-as-denied", Phase.DOT, f"550 5.7.1 {SUBMISSION}SendAsDeniedException.MapiExceptionSendAsDenied"),
    Sample(
        "direct-send",
        Phase.RCPT,
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources "
        "{front}",
    ),
    Sample("direct-send", Phase.MAIL, "550 5.7.68 TenantInboundAttribution; Direct Send not allowed"),
    Sample("unable-to-relay", Phase.MAIL, "550 5.7.1 Unable to Relay. ATTR14"),
    Sample("tenant-attribution", Phase.RCPT, "550 5.4.1 Relay Access Denied"),
    Sample(
        "address-banned",
        Phase.RCPT,
        "550 5.7.606 Access denied, banned sending IP [192.0.2.7]. To request removal from this list please visit "
        "https://sender.office.com/ and follow the directions. (AS16012609) {front}",
    ),
    Sample("address-banned", Phase.MAIL, "550 5.7.511 Access denied, banned sender[192.0.2.7]"),
    Sample(
        "address-banned",
        Phase.RCPT,
        "550 5.7.1 Service unavailable, Client host [192.0.2.7] blocked using Spamhaus. (AS16012611)",
    ),
    Sample(
        "address-range-limit",
        Phase.RCPT,
        "550 5.7.508 Access denied, [2001:db8::7] has exceeded permitted limits within /64 range",
    ),
    Sample(
        "ipv6-refused",
        Phase.RCPT,
        "550 5.7.25 Access denied, the sending IPv6 address [2001:db8::7] must have a reverse DNS record",
    ),
    Sample("ipv6-refused", Phase.RCPT, "550 5.7.1 Unable to accept unauthorized message over IPv6 ATTR2"),
    Sample("bad-helo", Phase.MAIL, "550 5.7.506 Access Denied, Bad HELO"),
    Sample("temporarily-restricted", Phase.RCPT, "451 4.7.500 Server busy. Please try again later (AS77712344)"),
    Sample("temporarily-restricted", Phase.DOT, "451 4.7.650 Access denied, please try again later"),
    Sample(
        "mailbox-disabled",
        Phase.DOT,
        f"554 5.2.1 mailbox disabled; {SUBMISSION}AccountDisabledException.MapiExceptionAccountDisabled{PERMANENT}"
        "Cannot open mailbox. {back}",
    ),
    Sample("mailbox-disabled", Phase.DOT, "550 5.2.1 Mailbox disabled {back}"),
    Sample("mailbox-disabled", Phase.MAIL, "550 5.2.1 Mailbox cannot be accessed"),
    Sample(
        "mailbox-disabled",
        Phase.DOT,
        f"554 5.2.1 STOREDRV.Deliver.Exception:AccountDisabledException; {SUBMISSION}AccountDisabledException {{back}}",
    ),
    Sample("submission-rate", Phase.MAIL, "432 4.3.2 The account has exceeded its message rate limit"),
    Sample("mailbox-logon-failure", Phase.RCPT, "550 5.2.0 STOREDRV; mailbox logon failure"),
    Sample("submission-quota", Phase.RCPT, "550 5.2.2 Submission quota exceeded"),
    Sample("organization-queue-full", Phase.DOT, "450 4.7.0 Organization queue quota exceeded."),
    Sample(
        "connection-limit",
        Phase.GREETING,
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
    ),
    Sample(
        "connection-limit",
        Phase.MAIL,
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission "
        "channel PRX7",
    ),
    Sample(
        "submission-rate",
        Phase.DOT,
        "432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account {back}",
    ),
    Sample("too-large", Phase.DOT, "552 5.2.3 Message size exceeds fixed maximum message size"),
    Sample(
        "over-send-size", Phase.DOT, "550 5.2.3 RESOLVER.RST.SendSizeLimit.Sender; message too large for this sender"
    ),
    Sample(
        "recipient-size-limit",
        Phase.DOT,
        "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
    ),
    Sample(
        "recipient-mailbox",
        Phase.DOT,
        "554 5.2.1 mailbox disabled; STOREDRV.Deliver.Exception:AccountDisabledException.MapiExceptionAccountDisabled",
    ),
    Sample(
        "recipient-mailbox",
        Phase.DOT,
        "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
    ),
    Sample("front-end-proxy-failed", Phase.MAIL, "550 5.7.0 Proxy session setup failed on Frontend with '451 4.7.0'"),
    Sample(
        "throttled-invalid-recipients",
        Phase.DOT,
        "550 5.2.254 Sender throttled due to continuous invalid recipients errors.",
    ),
    Sample("throttled-continuous-errors", Phase.DOT, "550 5.2.256 Sender throttled due to continuous policy errors."),
    Sample("tenant-over-threshold", Phase.DOT, "550 5.7.707 Access denied, tenant has exceeded threshold {back}"),
    Sample("tenant-over-threshold", Phase.MAIL, "554 5.7.1 Access denied, tenant has exceeded threshold"),
    Sample(
        "tenant-block-list",
        Phase.DOT,
        "550 5.7.703 Your message can't be delivered because one or more recipients are blocked by your "
        "organization's tenant recipient block policy",
    ),
    Sample(
        "unregistered-domain",
        Phase.DOT,
        "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
    ),
    Sample(
        "content-is-spam",
        Phase.DOT,
        "554 5.7.520 Message blocked because it contains content identified as spam. AS(4810)",
    ),
    Sample("outbound-policy", Phase.DOT, "550 5.7.520 Access denied"),
    Sample(
        "refused-by-recipient",
        Phase.RCPT,
        "550 5.7.513 Service unavailable, Client host [192.0.2.7] blocked by example.net using Customer Block list",
    ),
    Sample("refused-by-recipient", Phase.RCPT, "550 5.7.505 Access denied, banned recipient"),
)
