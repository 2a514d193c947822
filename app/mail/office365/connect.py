"""Rules for replies before the login, for those of any phase (front end, session, TLS, order of commands), and for
temporary errors of the server.
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import EHLO_NAME, NOTHING
from app.mail.outcome.attempt import Phase
from app.mail.outcome.rule import (
    ANY,
    AUTH,
    BEFORE_AUTH,
    TRANSACTION,
    Rule,
    deferred_message_rule,
    enhanced,
    host_rule,
)
from app.mail.outcome.verdict import Confidence

_REWRITTEN = "Nothing to do. If it happens often, check for a firewall that rewrites SMTP (often called SMTP fixup)."
_closing = partial(host_rule, phases=ANY, codes=(421,))

RULES: tuple[Rule, ...] = (
    _closing(
        name="legacy-tls",
        statuses=enhanced("4.7.66"),
        text=("tls 1.0 and 1.1 are not supported", "aka.ms/smtp_auth_tls"),
        hold=True,
        summary="Office 365 sees a connection with TLS 1.0 or 1.1. Postern itself speaks TLS 1.2 or newer.",
        fix="A device between this machine and Office 365 decrypts the connection and uses an older version: a proxy, "
        "a firewall with TLS inspection, a mail gateway. Configure it to pass smtp.office365.com port 587 unchanged.",
        source=sources.LEGACY_TLS,
        confidence=Confidence.HIGH,
    ),
    _closing(
        name="service-not-active",
        statuses=enhanced("4.3.2"),
        any_of=("service not active", "service not available"),
        pause=5.0,
        summary="The Office 365 server is being taken out of service. Postern connects again and reaches another one.",
        fix=NOTHING,
        source="MailKit #1106; smtp-field-manual (2025)",
        confidence=Confidence.MEDIUM,
    ),
    _closing(
        name="connection-limit",
        statuses=enhanced("4.3.2"),
        any_of=("maximum number of concurrent",),
        text=("maximum number of concurrent connections", "maximum number of concurrent server connections"),
        pause=5.0,
        summary="The server has reached its limit of connections, in total or from this IP address.",
        fix="Nothing to do: Postern tries again on a new connection. If it continues, lower POSTERN_CONNECTIONS, or "
        "check how many other programs send from the same IP address.",
        source=f"{sources.RESPONSES}; smtp-field-manual (2025)",
        confidence=Confidence.MEDIUM,
    ),
    _closing(
        name="session-timed-out",
        statuses=enhanced("4.4.1", "4.4.2"),
        any_of=("connection timed out", "timeout waiting for client input"),
        pause=1.0,
        summary="Office 365 ended a session that was open, or idle, for too long.",
        fix=NOTHING,
        source="MailKit #453; nodemailer #1205; Haraka #2321",
        confidence=Confidence.MEDIUM,
    ),
    host_rule(
        name="ehlo-name",
        phases=frozenset({Phase.EHLO, Phase.STARTTLS}),
        codes=(501,),
        statuses=enhanced("5.5.4"),
        text=("invalid domain name",),
        hold=True,
        summary="Office 365 does not accept the host name that Postern sends in EHLO.",
        fix=EHLO_NAME,
        source="fastapi-mail #205",
        confidence=Confidence.HIGH,
    ),
    host_rule(
        name="starttls-first",
        phases=ANY,
        codes=range(400, 600),
        statuses=enhanced("5.7.0"),
        any_of=("starttls",),
        text_fallback=("issue a starttls command",),
        text=("must issue a starttls command first", "starttls is required to send mail"),
        hold=True,
        summary="The server says the connection is not encrypted, although Postern sends nothing without TLS.",
        fix="Check that POSTERN_SMTP_HOST is smtp.office365.com and POSTERN_SMTP_PORT is 587, and that no proxy or "
        "mail gateway is between this machine and Office 365.",
        source=sources.RFC_3207,
    ),
    host_rule(
        name="unrecognized-command",
        phases=ANY,
        codes=(500,),
        statuses=enhanced("5.3.3"),
        text=("unrecognized command",),
        pause=5.0,
        summary="Office 365 did not understand a command. Postern opens a new connection.",
        fix=_REWRITTEN,
        source="email-oauth2-proxy #232, #372",
        confidence=Confidence.MEDIUM,
    ),
    host_rule(
        name="bad-sequence",
        phases=BEFORE_AUTH | TRANSACTION,
        codes=(503,),
        pause=5.0,
        summary="Office 365 received a command in the wrong order. Postern opens a new connection.",
        fix=_REWRITTEN,
        source=sources.RFC_5321,
    ),
    host_rule(
        name="front-end-busy",
        phases=BEFORE_AUTH,
        codes=(451, 452),
        statuses=enhanced("4.3.1", "4.3.2", "4.4.0", "4.7.0"),
        text_fallback=("temporary server error", "insufficient system resources"),
        pause=30.0,
        summary="Office 365 is too busy to open a session at the moment.",
        fix=NOTHING,
        source=sources.MX_SIDE,
    ),
    deferred_message_rule(
        name="temporary-server-error",
        phases=TRANSACTION,
        codes=(451,),
        statuses=enhanced("4.3.2", "4.7.0"),
        any_of=("temporary server error",),
        summary="Office 365 has a temporary fault.",
        fix=NOTHING,
        source=sources.MX_SIDE,
    ),
    host_rule(
        name="insufficient-resources",
        phases=TRANSACTION | AUTH,
        codes=(452,),
        statuses=enhanced("4.3.1"),
        text_fallback=("insufficient system resources",),
        pause=30.0,
        summary="The Office 365 server lacks resources at the moment.",
        fix=NOTHING,
        source=sources.MX_SIDE,
    ),
    deferred_message_rule(
        name="not-replicated",
        phases=TRANSACTION,
        codes=(451,),
        statuses=enhanced("4.4.0"),
        any_of=("failed to be replicated",),
        summary="Office 365 could not store a second copy of the message, so it did not accept it.",
        fix=NOTHING,
        source=sources.MX_SIDE,
    ),
)
