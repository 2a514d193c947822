"""Delivery policy: the verdict on the end of an attempt, for each recipient and for the mailbox.

A reply is compared with Exchange's rules (app/mail/office365): first the sentences of all, then the codes and words.
If none matches, DEFAULTS apply; failures without a reply have their own texts. A problem of the connection or the login
never fails a message (app/DESIGN.md, guarantee 3). app.mail.office365.bounces has the rules for bounces.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from app.mail import office365
from app.mail.office365 import entra
from app.mail.office365.fixes import ENABLE_SMTP, NOTHING
from app.mail.outcome.attempt import Attempt, EnhancedStatus, Failure, FailureKind, Phase, Reply
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.rule import (
    ANY,
    AUTH,
    BEFORE_AUTH,
    LOGIN_CODES,
    MESSAGE,
    TRANSACTION,
    NormalizedReply,
    Rule,
    deferred_message_rule,
    deferred_recipient_rule,
    failed_message_rule,
    failed_recipient_rule,
    first_match,
    host_rule,
    mailbox_rule,
)
from app.mail.outcome.verdict import Action, Confidence, Explanation, LoginMethod, Scope, Verdict

_CODES_4 = range(400, 500)
_CODES_5 = range(500, 600)

DEFAULTS: tuple[Rule, ...] = (
    Rule(
        name="relayed",
        phases=frozenset({Phase.DOT}),
        codes=range(200, 300),
        action=Action.RELAYED,
        scope=Scope.MESSAGE,
        summary="Office 365 has accepted it.",
        fix="Nothing to do.",
        source="RFC 5321 §4.2.1",
        confidence=Confidence.HIGH,
    ),
    host_rule(
        name="closing",
        phases=ANY,
        codes=(421,),
        pause=5.0,
        summary="The server closed the session. Postern tries again on a new connection.",
        fix="Nothing to do.",
        source="RFC 5321 §3.8",
        known=False,
    ),
    host_rule(
        name="opening-refused",
        phases=BEFORE_AUTH,
        codes=range(200, 600),
        pause=30.0,
        summary="The server refused to open a session.",
        fix="Read the cause in the reply and check POSTERN_SMTP_HOST, POSTERN_SMTP_PORT and POSTERN_EHLO_NAME.",
        source="RFC 5321 §3.1",
        known=False,
    ),
    mailbox_rule(
        name="login-deferred",
        phases=AUTH,
        codes=_CODES_4,
        pause=60.0,
        summary="The server could not check the login at the moment.",
        fix="Nothing to do: Postern tries the login again automatically.",
        source="RFC 4954 §6",
        known=False,
    ),
    mailbox_rule(
        name="login-refused",
        phases=AUTH,
        codes=range(200, 600),
        hold=True,
        summary="The server refused the login of the mailbox.",
        fix=numbered("Check the mailbox's credential.", ENABLE_SMTP),
        source="RFC 4954 §6",
        known=False,
    ),
    mailbox_rule(
        name="not-logged-in",
        phases=TRANSACTION,
        codes=LOGIN_CODES,
        hold=True,
        summary="The server requires a login first.",
        fix="Check that POSTERN_SMTP_HOST is the submission host and that the mailbox may log in.",
        source="RFC 4954 §6",
        known=False,
    ),
    deferred_recipient_rule(
        name="recipient-deferred",
        phases=frozenset({Phase.RCPT}),
        codes=_CODES_4,
        summary="The server does not accept this recipient at the moment.",
        fix=NOTHING,
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    failed_recipient_rule(
        name="recipient-refused",
        phases=frozenset({Phase.RCPT}),
        codes=_CODES_5,
        summary="The server refuses this recipient.",
        fix="Correct the address and send again.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    deferred_message_rule(
        name="message-deferred",
        phases=MESSAGE | {Phase.MAIL},
        codes=_CODES_4,
        summary="The server does not accept this message at the moment.",
        fix=NOTHING,
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    failed_message_rule(
        name="message-refused",
        phases=MESSAGE | {Phase.MAIL},
        codes=_CODES_5,
        summary="The server refuses this message.",
        fix="Read the cause in the reply, fix it and send again.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    host_rule(
        name="out-of-turn",
        phases=ANY,
        codes=range(1000),
        pause=30.0,
        summary="The server replied with a code that is not valid at this point.",
        fix="Check that POSTERN_SMTP_HOST and POSTERN_SMTP_PORT name an SMTP submission server.",
        source="RFC 5321 §4.3.2",
        known=False,
    ),
)
RULES: tuple[Rule, ...] = (*office365.RULES, *DEFAULTS)

_REACH = "Run `postern check` on this machine: it shows which step of the connection fails."

WITHOUT_REPLY: Mapping[FailureKind, Explanation] = {
    FailureKind.DNS: Explanation(
        "The host name of the upstream server has no address.",
        "Check POSTERN_SMTP_HOST for a typing error. If it is right, this machine cannot look up names (DNS).",
    ),
    FailureKind.REFUSED: Explanation(
        "The upstream server refuses the connection.", "Check POSTERN_SMTP_HOST and POSTERN_SMTP_PORT (587)."
    ),
    FailureKind.UNREACHABLE: Explanation(
        "The upstream server cannot be reached.", f"{_REACH} A firewall must allow outbound port 587."
    ),
    FailureKind.TIMEOUT: Explanation("The upstream server did not reply in time.", _REACH),
    FailureKind.CLOSED: Explanation("The connection was lost.", NOTHING),
    FailureKind.CERTIFICATE: Explanation(
        "The certificate of the upstream server is not trusted, so neither login nor mail was sent.",
        "Find the device between here and Office 365 that inspects TLS, such as a proxy, or set its CA certificate in "
        "POSTERN_SMTP_CA_FILE.",
    ),
    FailureKind.TLS: Explanation(
        "No encrypted connection could be established, so neither login nor mail was sent.",
        "Office 365 offers STARTTLS with TLS 1.2 on port 587: check the host, the port, and firewalls or proxies "
        "between this machine and Office 365.",
    ),
    FailureKind.CAPABILITY: Explanation(
        "The server lacks an SMTP extension that the message or the login needs.",
        "Use an ASCII address, or a server with that extension.",
    ),
    FailureKind.PROTOCOL: Explanation(
        "The upstream server's reply is not SMTP.",
        "Check that POSTERN_SMTP_HOST and POSTERN_SMTP_PORT name a mail server.",
    ),
    FailureKind.CREDENTIAL: Explanation(
        "Postern could not obtain the credential of the mailbox.",
        "Check the mailbox's credential settings, and that this machine reaches https://login.microsoftonline.com.",
    ),
    FailureKind.CRASHED: Explanation("Postern ended during the attempt.", NOTHING),
    FailureKind.STOPPED: Explanation("Postern was stopped during the attempt.", NOTHING),
}

IN_DOUBT = Explanation(
    "The connection was lost after the whole email was sent and before Exchange replied: it may have been accepted.",
    "Nothing to do: Postern sends it once more, with the same Message-ID, so that Message trace shows a duplicate.",
)
_CREDENTIAL_RETRY_DELAY = 30.0  # seconds
DOUBT_DELAY = 60.0  # seconds before a message with unknown result is sent once more

_LOCAL_FAILURES = frozenset({FailureKind.CRASHED, FailureKind.STOPPED})


def judge(attempt: Attempt, addresses: Iterable[str]) -> dict[str, Verdict]:
    """Return one verdict for each attempted address."""
    end = _judge_end(attempt)
    return {
        address: judge_reply(Phase.RCPT, refusal) if (refusal := attempt.refused.get(address)) else end
        for address in addresses
    }


def judge_reply(phase: Phase, reply: Reply) -> Verdict:
    """Return the verdict of the rule that applies to the reply. The last default matches every reply."""
    rule = _rule(phase, reply)
    return Verdict(
        rule.action,
        rule.scope,
        rule.explanation,
        rule.name,
        str(reply),
        False,
        rule.delay,
        rule.pause,
        rule.hold,
        rule.reduce_concurrency,
        rule.lockout_class,
        rule.known,
        rule.confidence,
    )


def judge_failure(failure: Failure) -> Verdict:
    """Return the verdict on an attempt without a reply."""
    if failure.in_doubt:
        return Verdict(
            Action.DEFER, Scope.MESSAGE, IN_DOUBT, "in-doubt", failure.detail, in_doubt=True, delay=DOUBT_DELAY
        )
    why = WITHOUT_REPLY[failure.kind]
    name = f"no-reply-{failure.kind}"
    if failure.kind in _LOCAL_FAILURES:
        return Verdict(Action.DEFER, Scope.HOST, why, name)
    if failure.kind is FailureKind.CAPABILITY:
        return _missing_capability(failure, why, name)
    if failure.kind is FailureKind.CREDENTIAL:
        return _missing_credential(failure, why, name)
    if failure.phase in BEFORE_AUTH | {Phase.AUTH}:
        return Verdict(Action.DEFER, Scope.HOST, why, name, failure.detail, pause=5.0)
    return Verdict(Action.DEFER, Scope.MESSAGE, why, name, failure.detail)


def explain_for_login(explanation: Explanation, method: LoginMethod) -> Explanation:
    """Return the explanation that the rule of `explanation` has for this login method, else `explanation` itself."""
    return _BY_LOGIN.get((explanation, method), explanation)


def _missing_capability(failure: Failure, why: Explanation, name: str) -> Verdict:
    """Hold the mailbox if the login method is missing; fail the message if it needs a missing extension."""
    if failure.phase is Phase.MAIL:
        return Verdict(Action.FAIL, Scope.MESSAGE, why, name, failure.detail)
    return Verdict(Action.DEFER, Scope.MAILBOX, why, name, failure.detail, hold=True)


def _missing_credential(failure: Failure, why: Explanation, name: str) -> Verdict:
    """Hold the mailbox if a person has to fix the cause; pause it if the cause is temporary or unknown."""
    row = entra.row(failure.code)
    if row is None:
        return Verdict(Action.DEFER, Scope.MAILBOX, why, name, failure.detail, pause=_CREDENTIAL_RETRY_DELAY)
    pause = 0.0 if row.hold else _CREDENTIAL_RETRY_DELAY
    return Verdict(Action.DEFER, Scope.MAILBOX, row.explanation, row.name, failure.detail, pause=pause, hold=row.hold)


def _judge_end(attempt: Attempt) -> Verdict:
    if attempt.failure is not None:
        return judge_failure(attempt.failure)
    assert attempt.reply is not None  # noqa: S101 - guaranteed by Attempt
    return judge_reply(attempt.phase, attempt.reply)


def _group_by_code(rules: Sequence[Rule]) -> Mapping[int, tuple[Rule, ...]]:
    found: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in rules:
        for code in rule.codes:
            found[code].append(rule)
    return {code: tuple(matching) for code, matching in found.items()}


_BY_LOGIN = {(rule.explanation, method): other for rule in RULES for method, other in rule.by_login.items()}
_EXCHANGE = _group_by_code(office365.RULES)
# Exchange's refusal at MAIL can include the cause of the failed login: `530 5.7.57 ... Error: 535 5.7.139 ...`.
_CAUSE = re.compile(r"\berror: ?([45]\d\d) +", re.IGNORECASE)
# Replies of the store driver's submission part concern the sending mailbox, also at RCPT.
_SENDER_MARK = "storedrv.submission"
_NOT_LOGGED_IN_STATUS = EnhancedStatus(5, 7, 57)


def _rule(phase: Phase, reply: Reply) -> Rule:
    if reply.code in _EXCHANGE:
        normalized = NormalizedReply.of(reply)
        if (reply.code == 530 or normalized.status == _NOT_LOGGED_IN_STATUS) and (
            cause := _CAUSE.search(normalized.text)
        ):
            return _rule(Phase.AUTH, Reply.of(int(cause[1]), [normalized.text[cause.end() :]]))
        if (found := _exchange_rule(phase, reply.code, normalized)) is not None:
            return found
    for rule in DEFAULTS:
        if reply.code in rule.codes and phase in rule.phases:
            return rule
    return DEFAULTS[-1]  # it matches every reply


def _exchange_rule(phase: Phase, code: int, normalized: NormalizedReply) -> Rule | None:
    if phase is Phase.RCPT and _SENDER_MARK in normalized.text:
        phase = Phase.DOT
    return first_match(_EXCHANGE[code], phase, normalized)
