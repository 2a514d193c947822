"""Policy rule as data: the replies that it matches, and the verdict on them; and the sets of phases and codes in rules.

`app.mail.policy` applies the rules for replies, `app.mail.office365.bounces.lookup` those for bounces.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from app.mail.outcome.attempt import EnhancedStatus, Phase, Reply
from app.mail.outcome.verdict import Action, Confidence, Explanation, LoginMethod, Responsible, Scope

BEFORE_AUTH = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS})
AUTH = frozenset({Phase.AUTH})
ENVELOPE = frozenset({Phase.MAIL, Phase.RCPT})
MESSAGE = frozenset({Phase.DATA, Phase.CONTENT, Phase.DOT})
TRANSACTION = ENVELOPE | MESSAGE
ANY = frozenset(Phase)

# RFC 4954 §6: the login is missing or refused, in any phase. It never fails a message.
LOGIN_CODES = (530, 534, 535, 538)
REFUSALS = frozenset(range(500, 600)) - frozenset(LOGIN_CODES)  # the codes that can fail a message

_SMTP = re.compile(r"\s*smtp;\s*", re.IGNORECASE)
_NOT_NAME = re.compile(r"[^\w.]+")


def enhanced(*codes: str) -> frozenset[EnhancedStatus]:
    """Parse enhanced codes such as "5.7.139". Raises ValueError for an invalid one."""
    parsed = [EnhancedStatus.parse(code) for code in codes]
    if any(status is None or str(status) != code for status, code in zip(parsed, codes, strict=True)):
        raise ValueError(f"not enhanced status codes: {codes}")
    return frozenset(status for status in parsed if status is not None)


def between(first: str, last: str) -> frozenset[EnhancedStatus]:
    """Return all enhanced codes of one subject from `first` to `last`, inclusive. Raises ValueError."""
    (low,), (high,) = enhanced(first), enhanced(last)
    if low[:2] != high[:2] or low > high:
        raise ValueError(f"not a range of enhanced status codes: {first} to {last}")
    return frozenset(EnhancedStatus(low.klass, low.subject, detail) for detail in range(low.detail, high.detail + 1))


@dataclass(frozen=True, slots=True)
class NormalizedReply:
    """Reply in the form in which rules compare it."""

    status: EnhancedStatus | None  # also one that follows Exchange's `SMTP;`
    text: str  # lower case, on one line
    exceptions: str  # the names of exceptions in it, as in `STOREDRV.Submission.Exception:<name>`

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """Normalize a reply."""
        text = " ".join(reply.text.lower().split())
        names = " ".join(word for word in _NOT_NAME.split(text) if "exception" in word)
        return cls(reply.status or _behind_smtp(reply), text, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rule for replies in `phases` with a code in `codes`, one of `statuses` and the words (in lower case).

    A reply with one of the sentences in `text` matches with any enhanced code. The policy checks `text` of all rules
    before the codes of any, because servers send one sentence with several codes. A reply without an enhanced code
    matches by `text_fallback` or, if the rule has none, by its other words.
    """

    name: str
    phases: frozenset[Phase]
    codes: Collection[int]
    action: Action
    scope: Scope
    summary: str
    fix: str
    source: str
    confidence: Confidence = Confidence.LOW  # until a log or Microsoft's documentation shows the reply
    known: bool = True  # False for the defaults, which are not specific to Exchange
    statuses: frozenset[EnhancedStatus] = frozenset()
    text: tuple[str, ...] = ()  # sentences with this meaning only
    none_of: tuple[str, ...] = ()  # words that exclude a reply, also one with a sentence of `text`
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    exception: tuple[str, ...] = ()  # one of these in the name of an exception
    text_fallback: tuple[str, ...] = ()
    delay: float | None = None  # seconds, as the following: see Verdict
    pause: float = 0.0
    hold: bool = False
    reduce_concurrency: bool = False
    lockout_class: str = ""
    responsible: Responsible = Responsible.SENDER
    suppress_after: int = 0  # bounces within 24 hours after which the address may be suppressed; 0: never
    by_login: Mapping[LoginMethod, Explanation] = field(default_factory=dict, hash=False)  # if the method is known
    explanation: Explanation = field(init=False)

    def __post_init__(self) -> None:
        """Build the explanation once."""
        object.__setattr__(self, "explanation", Explanation(self.summary, self.fix))

    def matches(self, phase: Phase, normalized: NormalizedReply) -> bool:
        """Return True if the rule matches the reply. The caller has compared the code."""
        return phase in self.phases and self._matches_status(normalized) and self._matches_words(normalized)

    def matches_text(self, phase: Phase, normalized: NormalizedReply) -> bool:
        """Return True if the reply has a sentence of `text`. The caller has compared the code."""
        return phase in self.phases and _has(normalized, self.text) and not _has(normalized, self.none_of)

    def _matches_status(self, normalized: NormalizedReply) -> bool:
        qualified = bool(self.all_of or self.any_of or self.exception)
        if not self.statuses:
            return qualified or not self.text
        if normalized.status is not None:
            return normalized.status in self.statuses
        if self.text_fallback:
            return _has(normalized, self.text_fallback)
        return qualified

    def _matches_words(self, normalized: NormalizedReply) -> bool:
        return (
            all(word in normalized.text for word in self.all_of)
            and (not self.any_of or _has(normalized, self.any_of))
            and not _has(normalized, self.none_of)
            and (not self.exception or any(name in normalized.exceptions for name in self.exception))
        )


# Constructors. A problem beyond the message never fails it (app/DESIGN.md, guarantee 3).
host_rule = partial(Rule, action=Action.DEFER, scope=Scope.HOST)
tenant_rule = partial(Rule, action=Action.DEFER, scope=Scope.TENANT)
mailbox_rule = partial(Rule, action=Action.DEFER, scope=Scope.MAILBOX)
deferred_message_rule = partial(Rule, action=Action.DEFER, scope=Scope.MESSAGE)
failed_message_rule = partial(Rule, action=Action.FAIL, scope=Scope.MESSAGE)
deferred_recipient_rule = partial(Rule, action=Action.DEFER, scope=Scope.RECIPIENT)
failed_recipient_rule = partial(Rule, action=Action.FAIL, scope=Scope.RECIPIENT)


def first_match(rules: Sequence[Rule], phase: Phase, normalized: NormalizedReply) -> Rule | None:
    """Return the first rule with a matching sentence, else the first by code and words.

    All rules have the reply's code in `codes`.
    """
    by_text = (rule for rule in rules if rule.matches_text(phase, normalized))
    by_code = (rule for rule in rules if rule.matches(phase, normalized))
    return next(by_text, None) or next(by_code, None)


def _has(normalized: NormalizedReply, words: tuple[str, ...]) -> bool:
    return any(word in normalized.text for word in words)


def _behind_smtp(reply: Reply) -> EnhancedStatus | None:
    prefix = _SMTP.match(reply.text)
    status = EnhancedStatus.parse(reply.text[prefix.end() :]) if prefix else None
    return status if status is not None and status.klass == reply.code // 100 else None
