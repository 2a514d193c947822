"""Replies that mean: this is not the submission host, or Microsoft does not accept this network address.

The cause is neither the message nor the mailbox, so the host is held and no message fails.
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import EHLO_NAME
from app.mail.outcome.rule import AUTH, TRANSACTION, Rule, between, enhanced
from app.mail.outcome.verdict import Action, Confidence, Scope
from app.mail.time_units import HOUR

_SUBMISSION_HOST = (
    "Check that POSTERN_SMTP_HOST is smtp.office365.com and POSTERN_SMTP_PORT is 587: this reply is that of the host "
    "that receives mail (MX, port 25), which accepts no login."
)
_DELIST = (
    "Find out what else sends from this internet address. Ask Microsoft to take the address off its list as the reply "
    "says, or send from another address."
)
_IPV4 = "Set POSTERN_IPV4_ONLY=true and restart Postern, or give the IPv6 address of this machine a reverse DNS record."

_held = partial(
    Rule,
    phases=AUTH | TRANSACTION,
    codes=range(500, 600),
    action=Action.DEFER,
    scope=Scope.HOST,
    hold=True,
    confidence=Confidence.LOW,
)

RULES: tuple[Rule, ...] = (
    _held(
        name="direct-send",
        statuses=enhanced("5.7.51", "5.7.68"),
        text=("tenantinboundattribution", "direct send not allowed"),
        summary="The server is not the submission host: it takes Postern's mail for Direct Send, which your "
        "organization forbids.",
        fix=_SUBMISSION_HOST,
        source=sources.DIRECT_SEND,
        confidence=Confidence.HIGH,
    ),
    _held(
        name="unable-to-relay",
        statuses=enhanced("5.7.54"),
        text=("unable to relay", "relaying denied", "relaying not allowed", "relay not permitted"),
        summary="The server treats Postern as a stranger that may not send to other domains.",
        fix=_SUBMISSION_HOST,
        source=f"{sources.SUBMISSION}; {sources.RESPONSES}",
    ),
    _held(
        name="tenant-attribution",
        statuses=enhanced("5.7.64"),
        text=("tenantattribution", "relay access denied"),
        summary="The server cannot tell to which organization the mail belongs.",
        fix=_SUBMISSION_HOST,
        source=sources.FIX_APPLICATIONS,
    ),
    _held(
        name="address-banned",
        statuses=enhanced("5.7.511") | between("5.7.606", "5.7.649"),
        text=("banned sending ip", "banned sender[", "banned sender [", "] blocked using ", "delist@"),
        pause=HOUR,
        summary="Microsoft has banned the internet address from which Postern sends.",
        fix=_DELIST,
        source=sources.NON_DELIVERY,
    ),
    _held(
        name="address-range-limit",
        statuses=enhanced("5.7.508"),
        text=("has exceeded permitted limits within",),
        hold=False,
        pause=HOUR,
        summary="Too many messages came from the network of Postern's internet address within a short time.",
        fix="Nothing to do; Postern tries again every hour. If it continues, send from another internet address, or "
        "set POSTERN_IPV4_ONLY=true.",
        source=sources.NON_DELIVERY,
    ),
    _held(
        name="ipv6-refused",
        statuses=enhanced("5.7.25", "5.7.510"),
        text=(
            "must have a reverse dns record",
            "does not accept email over ipv6",
            "unauthorized message over ipv6",
        ),
        summary="The server does not accept mail from this machine's IPv6 address.",
        fix=_IPV4,
        source=f"{sources.NON_DELIVERY}; {sources.RESPONSES}",
    ),
    _held(
        name="bad-helo",
        statuses=enhanced("5.7.506"),
        text=("access denied, bad helo",),
        summary="Office 365 does not accept the name by which Postern introduces itself (EHLO).",
        fix=EHLO_NAME,
        source=sources.NON_DELIVERY,
    ),
    Rule(
        name="temporarily-restricted",
        phases=AUTH | TRANSACTION,
        codes=range(400, 500),
        statuses=between("4.7.500", "4.7.699") | between("4.7.850", "4.7.899"),
        action=Action.DEFER,
        scope=Scope.MAILBOX,
        pause=900.0,
        summary="Microsoft finds the sending suspicious and restricts it for a while.",
        fix="Nothing to do if the mail is wanted; Postern tries again by itself. Otherwise find what sends it.",
        source=sources.NON_DELIVERY,
        confidence=Confidence.LOW,
    ),
)
