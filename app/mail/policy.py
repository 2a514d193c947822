"""The only judge of permanence: what the end of an attempt means for each recipient and for the mailbox.

Exchange's own rows come first (app/mail/office365), then the defaults, which know every code, so that nothing is left
unjudged. The first matching rule wins. Trouble that is not the message's own (opening, login, lost link) never fails
a message (app/DESIGN.md, guarantee 3).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from app.mail import office365
from app.mail.office365 import entra
from app.mail.office365.fixes import SMTP_AUTH_ON
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.mail.outcome.reply import EnhancedStatus, Reply
from app.mail.outcome.rule import ANY, AUTH, LOGIN_CODES, MESSAGE, OPENING, TRANSACTION, NormalizedReply, Rule
from app.mail.outcome.verdict import Action, Confidence, Explanation, Scope, Verdict

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
    Rule(
        name="closing",
        phases=ANY,
        codes=(421,),
        action=Action.DEFER,
        scope=Scope.HOST,
        pause=5.0,
        summary="The server closed the session; it is offered again on a new connection.",
        fix="Nothing to do.",
        source="RFC 5321 §3.8",
        known=False,
    ),
    Rule(
        name="opening-refused",
        phases=OPENING,
        codes=range(200, 600),
        action=Action.DEFER,
        scope=Scope.HOST,
        pause=30.0,
        summary="The server did not open a session.",
        fix="Check POSTERN_SMTP_HOST, POSTERN_SMTP_PORT and POSTERN_EHLO_NAME; the reply says what it disliked.",
        source="RFC 5321 §3.1",
        known=False,
    ),
    Rule(
        name="login-deferred",
        phases=AUTH,
        codes=_CODES_4,
        action=Action.DEFER,
        scope=Scope.MAILBOX,
        pause=60.0,
        summary="The login could not be checked just now.",
        fix="Nothing to do; the login is tried again by itself.",
        source="RFC 4954 §6",
        known=False,
    ),
    Rule(
        name="login-refused",
        phases=AUTH,
        codes=range(200, 600),
        action=Action.DEFER,
        scope=Scope.MAILBOX,
        hold=True,
        summary="The mailbox's login is refused.",
        fix="Check the mailbox's credential. " + SMTP_AUTH_ON,
        source="RFC 4954 §6",
        known=False,
    ),
    Rule(
        name="not-logged-in",
        phases=TRANSACTION,
        codes=LOGIN_CODES,
        action=Action.DEFER,
        scope=Scope.MAILBOX,
        hold=True,
        summary="The server wants a login first.",
        fix="Check that POSTERN_SMTP_HOST is the submission host and that the mailbox may log in.",
        source="RFC 4954 §6",
        known=False,
    ),
    Rule(
        name="recipient-deferred",
        phases=frozenset({Phase.RCPT}),
        codes=_CODES_4,
        action=Action.DEFER,
        scope=Scope.RECIPIENT,
        summary="The server does not take this recipient just now.",
        fix="Nothing to do; it is offered again by itself.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    Rule(
        name="recipient-refused",
        phases=frozenset({Phase.RCPT}),
        codes=_CODES_5,
        action=Action.FAIL,
        scope=Scope.RECIPIENT,
        summary="The server refuses this recipient.",
        fix="Correct the address and send again.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    Rule(
        name="message-deferred",
        phases=MESSAGE | {Phase.MAIL},
        codes=_CODES_4,
        action=Action.DEFER,
        scope=Scope.MESSAGE,
        summary="The server does not take this message just now.",
        fix="Nothing to do; it is offered again by itself.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    Rule(
        name="message-refused",
        phases=MESSAGE | {Phase.MAIL},
        codes=_CODES_5,
        action=Action.FAIL,
        scope=Scope.MESSAGE,
        summary="The server refuses this message.",
        fix="The reply says why; mend that and send again.",
        source="RFC 5321 §4.2.1",
        known=False,
    ),
    Rule(
        name="out-of-turn",
        phases=ANY,
        codes=range(1000),
        action=Action.DEFER,
        scope=Scope.HOST,
        pause=30.0,
        summary="The server answered with a code that has no meaning at this point.",
        fix="Check that POSTERN_SMTP_HOST and POSTERN_SMTP_PORT name an SMTP submission server.",
        source="RFC 5321 §4.3.2",
        known=False,
    ),
)
RULES: tuple[Rule, ...] = (*office365.RULES, *DEFAULTS)

_REACH = "Check the network from this machine: `postern check` says which step fails."
_AGAIN = "Nothing to do; it is offered again by itself."

WITHOUT_REPLY: Mapping[FailureKind, Explanation] = {
    FailureKind.DNS: Explanation(
        "The upstream's name has no address.",
        "Check POSTERN_SMTP_HOST for a typing error. If it is right, this machine cannot look up names (DNS).",
    ),
    FailureKind.REFUSED: Explanation(
        "The upstream refuses the connection.", "Check POSTERN_SMTP_HOST and POSTERN_SMTP_PORT (587)."
    ),
    FailureKind.UNREACHABLE: Explanation("The upstream cannot be reached.", f"{_REACH} Port 587 must be open to it."),
    FailureKind.TIMEOUT: Explanation("The upstream did not answer in time.", _REACH),
    FailureKind.CLOSED: Explanation("The connection was lost.", _AGAIN),
    FailureKind.CERTIFICATE: Explanation(
        "The upstream's certificate is not to be trusted, so neither login nor mail was sent.",
        "Find who is between here and Office 365 (a proxy that opens TLS?), or give its CA in POSTERN_SMTP_CA_FILE.",
    ),
    FailureKind.TLS: Explanation(
        "No encrypted connection could be made, so neither login nor mail was sent.",
        "Office 365 offers STARTTLS with TLS 1.2 on port 587: check host, port and whatever lies between.",
    ),
    FailureKind.CAPABILITY: Explanation(
        "The server does not offer what is needed.", "Use an ASCII address, or a server that offers it."
    ),
    FailureKind.PROTOCOL: Explanation(
        "What the upstream sent is not SMTP.", "Check that POSTERN_SMTP_HOST and POSTERN_SMTP_PORT name a mail server."
    ),
    FailureKind.CREDENTIAL: Explanation(
        "No credential could be had for the mailbox.",
        "Check the mailbox's credential settings, and that this machine reaches https://login.microsoftonline.com.",
    ),
    FailureKind.CRASHED: Explanation("Postern ended while the message was on its way.", _AGAIN),
    FailureKind.STOPPED: Explanation("Postern was stopped while the message was on its way.", _AGAIN),
}

IN_DOUBT = Explanation(
    "The connection died between the end of the message and Exchange's answer: it may or may not have been taken.",
    "Nothing to do; it is offered once more. Every offer bears the same Message-ID, so Message trace shows duplicates.",
)
_ASK_AGAIN = 30.0  # seconds before a credential that could not be had is asked for again
DOUBT_DELAY = 60.0  # seconds before a message in doubt is offered once more

_OURS = frozenset({FailureKind.CRASHED, FailureKind.STOPPED})


def judge(attempt: Attempt, addresses: Iterable[str]) -> dict[str, Verdict]:
    """One verdict for each address that was offered."""
    rest = _judge_rest(attempt)
    return {
        address: judge_reply(Phase.RCPT, refusal) if (refusal := attempt.refused.get(address)) else rest
        for address in addresses
    }


def judge_reply(phase: Phase, reply: Reply) -> Verdict:
    """The verdict of the first rule that knows the reply. The last rule knows all."""
    return _rule(phase, reply).verdict(reply)


def judge_failure(failure: Failure) -> Verdict:
    """The verdict on an attempt that got no reply."""
    if failure.in_doubt:
        return Verdict(
            Action.DEFER, Scope.MESSAGE, IN_DOUBT, "in-doubt", failure.detail, in_doubt=True, delay=DOUBT_DELAY
        )
    why = WITHOUT_REPLY[failure.kind]
    name = f"no-reply-{failure.kind}"
    if failure.kind in _OURS:
        return Verdict(Action.DEFER, Scope.HOST, why, name)
    if failure.kind is FailureKind.CAPABILITY:
        return _lacking(failure, why, name)
    if failure.kind is FailureKind.CREDENTIAL:
        return _without_credential(failure, why, name)
    if failure.phase in OPENING | {Phase.AUTH}:
        return Verdict(Action.DEFER, Scope.HOST, why, name, failure.detail, pause=5.0)
    return Verdict(Action.DEFER, Scope.MESSAGE, why, name, failure.detail)


def _lacking(failure: Failure, why: Explanation, name: str) -> Verdict:
    """The login method is missing: the mailbox waits. What the message needs is missing: it can never go."""
    if failure.phase is Phase.MAIL:
        return Verdict(Action.FAIL, Scope.MESSAGE, why, name, failure.detail)
    return Verdict(Action.DEFER, Scope.MAILBOX, why, name, failure.detail, hold=True)


def _without_credential(failure: Failure, why: Explanation, name: str) -> Verdict:
    """What only a person mends holds the mailbox; what may pass, or is not known, pauses it."""
    row = entra.row(failure.code)
    if row is None:
        return Verdict(Action.DEFER, Scope.MAILBOX, why, name, failure.detail, pause=_ASK_AGAIN)
    pause = 0.0 if row.hold else _ASK_AGAIN
    return Verdict(Action.DEFER, Scope.MAILBOX, row.explanation, row.name, failure.detail, pause=pause, hold=row.hold)


def _judge_rest(attempt: Attempt) -> Verdict:
    if attempt.failure is not None:
        return judge_failure(attempt.failure)
    assert attempt.reply is not None  # noqa: S101 - Attempt's own promise
    return judge_reply(attempt.phase, attempt.reply)


def _by_code(rules: Sequence[Rule]) -> Mapping[int, tuple[Rule, ...]]:
    found: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in rules:
        for code in rule.codes:
            found[code].append(rule)
    return {code: tuple(its) for code, its in found.items()}


_EXCHANGE = _by_code(office365.RULES)
# Exchange's refusal at MAIL can include the cause of the failed login: `530 5.7.57 ... Error: 535 5.7.139 ...`.
_CAUSE = re.compile(r"\berror: ?([45]\d\d) +", re.IGNORECASE)
# The part of the store driver that submits speaks of the sending mailbox, also in a reply to RCPT.
_OF_SENDER = "storedrv.submission"
_NOT_LOGGED_IN_STATUS = EnhancedStatus(5, 7, 57)


def _rule(phase: Phase, reply: Reply) -> Rule:
    if reply.code in _EXCHANGE:
        heard = NormalizedReply.of(reply)
        if (reply.code == 530 or heard.status == _NOT_LOGGED_IN_STATUS) and (cause := _CAUSE.search(heard.text)):
            return _rule(Phase.AUTH, Reply.of(int(cause[1]), [heard.text[cause.end() :]]))
        if (row := _row(phase, reply.code, heard)) is not None:
            return row
    for rule in DEFAULTS:
        if reply.code in rule.codes and phase in rule.phases:
            return rule
    return DEFAULTS[-1]  # it knows every reply


def _row(phase: Phase, code: int, heard: NormalizedReply) -> Rule | None:
    """Exchange's row for a reply: the first whose sentence it has, else the first that knows it by code and words."""
    if phase is Phase.RCPT and _OF_SENDER in heard.text:
        phase = Phase.DOT
    rules = _EXCHANGE[code]
    by_text = (rule for rule in rules if rule.matches_text(phase, heard))
    by_code = (rule for rule in rules if rule.matches(phase, heard))
    return next(by_text, None) or next(by_code, None)
