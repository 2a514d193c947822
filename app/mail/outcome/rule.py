"""A rule of the policy as data: which replies it knows, and what they mean. Decides nothing by itself."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Self

from app.mail.outcome.attempt import Phase
from app.mail.outcome.reply import EnhancedStatus, Reply
from app.mail.outcome.verdict import Action, Confidence, Explanation, Scope, Verdict

OPENING = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS})
AUTH = frozenset({Phase.AUTH})
ENVELOPE = frozenset({Phase.MAIL, Phase.RCPT})
MESSAGE = frozenset({Phase.DATA, Phase.CONTENT, Phase.DOT})
TRANSACTION = ENVELOPE | MESSAGE
ANY = frozenset(Phase)

# RFC 4954 §6: the login is missing or refused, which is no fault of a message in whatever phase the server says it.
LOGIN_CODES = (530, 534, 535, 538)
REFUSALS = frozenset(range(500, 600)) - frozenset(LOGIN_CODES)  # the codes that can fail a message

_SMTP = re.compile(r"\s*smtp;\s*", re.IGNORECASE)
_NOT_NAME = re.compile(r"[^\w.]+")


def enhanced(*codes: str) -> frozenset[EnhancedStatus]:
    """Enhanced codes as people write them: `enhanced("5.7.139")`. Raises ValueError for what is none."""
    parsed = [EnhancedStatus.parse(code) for code in codes]
    if any(status is None or str(status) != code for status, code in zip(parsed, codes, strict=True)):
        raise ValueError(f"not enhanced status codes: {codes}")
    return frozenset(status for status in parsed if status is not None)


def between(first: str, last: str) -> frozenset[EnhancedStatus]:
    """All enhanced codes of one subject from `first` to `last`, both included. Raises ValueError."""
    (low,), (high,) = enhanced(first), enhanced(last)
    if low[:2] != high[:2] or low > high:
        raise ValueError(f"not a range of enhanced status codes: {first} to {last}")
    return frozenset(EnhancedStatus(low.klass, low.subject, detail) for detail in range(low.detail, high.detail + 1))


@dataclass(frozen=True, slots=True)
class NormalizedReply:
    """A reply made ready for comparing."""

    status: EnhancedStatus | None  # also where Exchange puts it behind `SMTP;`
    text: str  # lower case, on one line
    exceptions: str  # the names of exceptions in it, as in `STOREDRV.Submission.Exception:<name>`

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """From a reply as it came."""
        text = " ".join(reply.text.lower().split())
        names = " ".join(word for word in _NOT_NAME.split(text) if "exception" in word)
        return cls(reply.status or _behind_smtp(reply), text, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Replies in `phases` with a code in `codes`, exactly one of `statuses`, and the words. Words are lower case.

    A reply with one of the sentences in `text` matches whatever its enhanced code is. Policy checks `text` of all rules
    before the codes of any: a sentence says more than a code, and servers give several codes with one sentence.
    Without an enhanced code a reply is known by one of `instead`, or, if a rule has none, by its other words.
    """

    name: str
    phases: frozenset[Phase]
    codes: Collection[int]
    action: Action
    scope: Scope
    summary: str
    fix: str
    source: str
    confidence: Confidence = Confidence.LOW
    known: bool = True  # False for the defaults, which know a code and nothing of Exchange
    statuses: frozenset[EnhancedStatus] = frozenset()
    text: tuple[str, ...] = ()  # sentences that have this meaning only
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
    explanation: Explanation = field(init=False)

    def __post_init__(self) -> None:
        """Put the words together once, not for every reply."""
        object.__setattr__(self, "explanation", Explanation(self.summary, self.fix))

    def matches(self, phase: Phase, heard: NormalizedReply) -> bool:
        """True if the rule knows the reply. Whoever asks has compared the code."""
        return phase in self.phases and self._matches_status(heard) and self._matches_words(heard)

    def matches_text(self, phase: Phase, heard: NormalizedReply) -> bool:
        """True if the reply has a sentence that has this rule's meaning only. The caller has compared the code."""
        return phase in self.phases and _has(heard, self.text) and not _has(heard, self.none_of)

    def verdict(self, reply: Reply) -> Verdict:
        """What the reply means."""
        return Verdict(
            self.action,
            self.scope,
            self.explanation,
            self.name,
            str(reply),
            False,
            self.delay,
            self.pause,
            self.hold,
            self.reduce_concurrency,
            self.lockout_class,
            self.known,
            self.confidence,
        )

    def _matches_status(self, heard: NormalizedReply) -> bool:
        qualified = bool(self.all_of or self.any_of or self.exception)
        if not self.statuses:
            return qualified or not self.text
        if heard.status is not None:
            return heard.status in self.statuses
        if self.text_fallback:
            return _has(heard, self.text_fallback)
        return qualified

    def _matches_words(self, heard: NormalizedReply) -> bool:
        return (
            all(word in heard.text for word in self.all_of)
            and (not self.any_of or _has(heard, self.any_of))
            and not _has(heard, self.none_of)
            and (not self.exception or any(name in heard.exceptions for name in self.exception))
        )


def _has(heard: NormalizedReply, words: tuple[str, ...]) -> bool:
    return any(word in heard.text for word in words)


def _behind_smtp(reply: Reply) -> EnhancedStatus | None:
    prefix = _SMTP.match(reply.text)
    status = EnhancedStatus.parse(reply.text[prefix.end() :]) if prefix else None
    return status if status is not None and status.klass == reply.code // 100 else None
