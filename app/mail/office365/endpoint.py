"""Rules for replies of a host that is not the submission host, or that does not accept this IP address or EHLO name.

No message fails: the mailbox that got the reply is held, or only paused (`address-range-limit`,
`temporarily-restricted`).
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import EHLO_NAME
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.rule import AUTH, TRANSACTION, Rule, between, enhanced, host_rule, mailbox_rule
from app.mail.outcome.verdict import Confidence
from app.mail.times import HOUR, MINUTE

_SUBMISSION_HOST = (
    "Check that POSTERN_SMTP_HOST is smtp.office365.com and POSTERN_SMTP_PORT is 587. This reply comes from hosts that "
    "only receive mail for a domain (its MX, port 25)."
)
_DELIST = numbered(
    "Find out which other programs send from this IP address, and stop those that send spam.",
    "Ask Microsoft to remove the address from its list as the reply describes, or send from another address.",
)
_IPV4 = "Set POSTERN_IPV4_ONLY=true and restart Postern, or give the IPv6 address of this machine a reverse DNS record."

_refused = partial(host_rule, phases=AUTH | TRANSACTION, codes=range(500, 600), hold=True)

RULES: tuple[Rule, ...] = (
    _refused(
        name="direct-send",
        statuses=enhanced("5.7.51", "5.7.68"),
        text=("tenantinboundattribution", "direct send not allowed"),
        summary="The server is not the submission host: it treats Postern's mail as Direct Send, which your "
        "organization forbids.",
        fix=_SUBMISSION_HOST,
        source=sources.DIRECT_SEND,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="unable-to-relay",
        statuses=enhanced("5.7.54"),
        text=("unable to relay", "relaying denied", "relaying not allowed", "relay not permitted"),
        summary="The server treats Postern as a client without a login, which may not send to other domains.",
        fix=_SUBMISSION_HOST,
        source=f"{sources.SUBMISSION}; {sources.RESPONSES}",
    ),
    _refused(
        name="tenant-attribution",
        statuses=enhanced("5.7.64"),
        text=("tenantattribution", "relay access denied"),
        summary="The server cannot determine the organization to which the mail belongs.",
        fix=_SUBMISSION_HOST,
        source=sources.FIX_APPLICATIONS,
    ),
    _refused(
        name="address-banned",
        statuses=enhanced("5.7.511") | between("5.7.606", "5.7.649"),
        text=("banned sending ip", "banned sender[", "banned sender [", "] blocked using ", "delist@"),
        pause=HOUR,
        summary="Microsoft has banned the IP address from which Postern sends.",
        fix=_DELIST,
        source=sources.NON_DELIVERY,
    ),
    _refused(
        name="address-range-limit",
        statuses=enhanced("5.7.508"),
        text=("has exceeded permitted limits within",),
        hold=False,
        pause=HOUR,
        summary="Too many messages were sent from the network of Postern's IP address within a short time.",
        fix="Nothing to do: Postern tries again every hour. If it continues, send from another IP address, or set "
        "POSTERN_IPV4_ONLY=true.",
        source=sources.NON_DELIVERY,
    ),
    _refused(
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
    _refused(
        name="bad-helo",
        statuses=enhanced("5.7.506"),
        text=("access denied, bad helo",),
        summary="Office 365 does not accept the host name that Postern sends in EHLO.",
        fix=EHLO_NAME,
        source=sources.NON_DELIVERY,
    ),
    mailbox_rule(
        name="temporarily-restricted",
        phases=AUTH | TRANSACTION,
        codes=range(400, 500),
        statuses=between("4.7.500", "4.7.699") | between("4.7.850", "4.7.899"),
        pause=15 * MINUTE,
        summary="Microsoft classifies the sending as suspicious and restricts it temporarily.",
        fix="Nothing to do if the mail is legitimate: Postern tries again automatically. Otherwise find the "
        "application that sends it.",
        source=sources.NON_DELIVERY,
    ),
)
