"""Rules for all bounces, the search for the rule of a code and text, and whether the address may be suppressed. Pure.

RULES are those of this package, then those for replies with the same meaning; DEFAULTS decide by the class of the code.
"""

import re
from typing import NamedTuple

from app.mail.office365 import content, envelope, outbound
from app.mail.office365.bounces import address, receiver, sender, transport
from app.mail.office365.bounces.constructors import AGAIN_IF_BOUNCED, bounce_rule
from app.mail.outcome.attempt import EnhancedStatus, Phase, Reply
from app.mail.outcome.rule import NormalizedReply, Rule, first_match
from app.mail.outcome.verdict import Action, Confidence, Responsible

MAX_TEXT = 2_000  # characters of a diagnostic text that are read

OWN_RULES: tuple[Rule, ...] = (*sender.RULES, *address.RULES, *receiver.RULES, *transport.RULES)
_OWN_TEXTS = frozenset(text for rule in OWN_RULES for text in rule.text)
# A refusal that fails the message, or a block that a person has to lift, means the same as reply and as bounce,
# unless a rule of this package has its sentence.
_FROM_REPLIES = tuple(
    rule
    for rules, lifted in ((outbound.RULES, True), (content.RULES, False), (envelope.RULES, False))
    for rule in rules
    if Phase.DOT in rule.phases
    and (rule.action is Action.FAIL or (lifted and rule.hold and _OWN_TEXTS.isdisjoint(rule.text)))
)
RULES: tuple[Rule, ...] = (*OWN_RULES, *_FROM_REPLIES)

UNKNOWN = bounce_rule(
    name="bounced",
    responsible=Responsible.RECEIVER,
    known=False,
    summary="The email could not be delivered.",
    fix="Read the reason in the reply. Check the recipient's address, and ask the recipient by another way.",
    source="RFC 3463 §2",
    confidence=Confidence.LOW,
)
DELAYED = bounce_rule(
    name="delayed",
    action=Action.DEFER,
    responsible=Responsible.RECEIVER,
    known=False,
    summary="The email could not be delivered yet.",
    fix=AGAIN_IF_BOUNCED,
    source="RFC 3463 §2",
    confidence=Confidence.LOW,
)
DEFAULTS: tuple[Rule, ...] = (UNKNOWN, DELAYED)

_STATUS_BEHIND_CODE = re.compile(r"(?<!\d)[45]\d\d[ -]#?(?=[45]\.\d{1,3}\.\d{1,3}(?![\d.]))")
_STATUS_ANYWHERE = re.compile(r"(?<![\d.])(?=[45]\.\d{1,3}\.\d{1,3}(?![\d.]))")


class Bounce(NamedTuple):
    """Meaning of a bounce's code. `permanent`: the same email bounces again until somebody changes something."""

    rule: Rule
    status: EnhancedStatus | None
    permanent: bool


def explain_bounce(code: str, text: str = "") -> Bounce:
    """Return the meaning of a bounce, or of a delay, that Exchange reports for one recipient.

    `code` is the enhanced status code ("5.1.10"), "" if there is none; `text` is the diagnostic text of a report or
    the description of a message trace's event. Without a code, or with one that says nothing (X.0.0), the first code
    in the text counts. `rule.known` is False if the class of the code alone decided; then `status` may be None.
    """
    text = text[:MAX_TEXT]
    status = EnhancedStatus.parse(code)
    if status is None or status[1:] == (0, 0):
        status = _status_in(text) or status
    if status is None:
        found = first_match(RULES, Phase.DOT, NormalizedReply.of(Reply(550, None, text)))
        return Bounce(found or UNKNOWN, None, found is not None and _lasts(found))
    number = 450 if status.klass == 4 else 550
    rules = [rule for rule in RULES if number in rule.codes]
    found = first_match(rules, Phase.DOT, NormalizedReply.of(Reply(number, status, text)))
    rule = found or (DELAYED if status.klass == 4 else UNKNOWN)
    return Bounce(rule, status, status.klass == 5 and _lasts(rule))


def may_suppress(code: str, text: str = "", *, own_organization: bool) -> int:
    """Return after how many bounces within 24 hours the address may be suppressed; 0: never.

    Only what says that the address is dead for good counts, and its code has to say so, not its text alone.
    `own_organization`: the recipient is in the sender's own organization, where a bounce is a matter of its setup.
    """
    bounce = explain_bounce(code, text)
    if own_organization or bounce.status not in bounce.rule.statuses or not bounce.permanent:
        return 0
    return bounce.rule.suppress_after


def _lasts(rule: Rule) -> bool:
    return rule.action is Action.FAIL or rule.hold


def _status_in(text: str) -> EnhancedStatus | None:
    for pattern in (_STATUS_BEHIND_CODE, _STATUS_ANYWHERE):
        if found := pattern.search(text):
            return EnhancedStatus.parse(text[found.end() :])
    return None
