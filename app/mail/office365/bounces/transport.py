"""Rules for bounces on the way to the recipient's server: DNS, connection, TLS and its policies, loops."""

from app.mail.office365 import sources
from app.mail.office365.bounces.constructors import (
    AGAIN,
    AGAIN_IF_BOUNCED,
    SERVER,
    deferred_receiver_rule,
    microsoft_rule,
    receiver_rule,
)
from app.mail.outcome.rule import between, enhanced
from app.mail.outcome.verdict import Confidence

_TLS = f"{SERVER} Exchange does not send over a connection that fails the policy of the recipient's own domain."

RULES = (
    deferred_receiver_rule(
        name="bounced-dns",
        statuses=enhanced("4.4.312", "5.4.312"),
        text=("dns query failed",),
        summary="The DNS of the recipient's domain gave no answer.",
        fix=f"Check the domain for a typing error. Otherwise its owner must repair its DNS. {AGAIN}",
    ),
    deferred_receiver_rule(
        name="bounced-connection-refused",
        statuses=enhanced("4.4.316", "5.4.316"),
        text=("socket error code 10061",),
        summary="The recipient's server refuses the connection.",
        fix=f"{SERVER} {AGAIN}",
    ),
    deferred_receiver_rule(
        name="bounced-connection-reset",
        statuses=enhanced("4.4.2", "4.4.318", "5.4.318"),
        text=("suspiciousremoteservererror", "connection was closed abruptly"),
        summary="The recipient's server ended the connection in the middle of the transfer.",
        fix=f"{SERVER} {AGAIN}",
    ),
    receiver_rule(
        name="bounced-cannot-connect-securely",
        statuses=enhanced("4.4.317", "5.4.317"),
        any_of=("starttls", "certificate", "subjectmismatch", "tls"),
        text_fallback=("starttls is required",),
        summary="No encrypted connection to the recipient's server was possible: STARTTLS or its certificate fails.",
        fix=f"{SERVER} If a connector of your own requires TLS, check it at https://admin.exchange.microsoft.com, Mail "
        "flow, Connectors.",
    ),
    deferred_receiver_rule(
        name="bounced-cannot-connect",
        statuses=enhanced("4.4.1", "4.4.317", "5.4.317"),
        text_fallback=("cannot connect to remote server",),
        summary="Exchange could not connect to the recipient's server.",
        fix=f"Check the domain for a typing error. Otherwise: {SERVER} {AGAIN}",
    ),
    receiver_rule(
        name="bounced-mta-sts",
        statuses=enhanced("4.4.8", "5.4.8", "4.7.5", "5.7.5"),
        text=("failed mta-sts validation",),
        summary="The recipient's server does not fit the MTA-STS policy of its domain: its MX name or its certificate.",
        fix=_TLS,
    ),
    receiver_rule(
        name="bounced-dane",
        statuses=between("4.7.321", "4.7.325") | between("5.7.321", "5.7.325"),
        text=(
            "starttls-not-supported:",
            "certificate-expired:",
            "tlsa-invalid:",
            "dnssec-invalid:",
            "certificate-host-mismatch:",
        ),
        summary="The recipient's server fails DANE: its STARTTLS, certificate, TLSA record or DNSSEC is wrong.",
        fix=_TLS,
    ),
    deferred_receiver_rule(
        name="bounced-expired",
        statuses=enhanced("4.4.7", "5.4.7", "5.4.300"),
        text=("queue.expired",),
        summary="Exchange could not hand over the email within its time, usually 24 hours.",
        fix=f"Check the domain for a typing error. Otherwise the recipient's server was unreachable. {AGAIN}",
    ),
    receiver_rule(
        name="bounced-loop",
        statuses=enhanced("5.4.6") | between("5.4.11", "5.4.20"),
        text=("hop count exceeded", "routing loop detected", "agent generated message depth exceeded"),
        summary="The email went round in a loop of servers or forwarding rules.",
        fix="The recipient must check the forwarding of the mailbox. If the domain is your own, check its MX record "
        "and the connectors at https://admin.exchange.microsoft.com, Mail flow.",
    ),
    microsoft_rule(
        name="bounced-replication",
        statuses=enhanced("4.4.0", "4.4.22", "4.4.24", "4.4.25", "4.4.28"),
        text=("message failed to be replicated",),
        summary="An Exchange server could not store a second copy of the email.",
        fix=AGAIN_IF_BOUNCED,
        source=sources.MX_SIDE,
        confidence=Confidence.MEDIUM,
    ),
    deferred_receiver_rule(
        name="bounced-routing",
        statuses=enhanced("4.4.3", "4.4.4", "4.4.5", "4.4.6", "4.4.400", "5.4.2", "5.4.3", "5.4.5"),
        none_of=("temporary server error", "no mail-enabled subscriptions"),
        summary="Exchange has no working route to the recipient's server.",
        fix=f"Check the domain for a typing error. Otherwise: {SERVER} {AGAIN}",
        source=sources.RFC_3463,
        confidence=Confidence.LOW,
    ),
    microsoft_rule(
        name="bounced-temporary-fault",
        statuses=enhanced("4.3.2", "4.4.3", "4.7.0"),
        any_of=("temporary server error", "service not active", "service not available"),
        text=("temporary server error",),
        summary="An Exchange server on the way has a temporary fault.",
        fix=AGAIN_IF_BOUNCED,
        source=sources.MX_SIDE,
        confidence=Confidence.MEDIUM,
    ),
)
