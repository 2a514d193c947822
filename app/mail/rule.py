"""A rule of the policy as data: which replies it knows, and what they mean. Decides nothing by itself."""

from dataclasses import dataclass

from app.mail.attempt import Phase
from app.mail.reply import EnhancedStatus, Reply
from app.mail.verdict import Action, Explanation, Scope, Verdict

OPENING = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS})
ENVELOPE = frozenset({Phase.MAIL, Phase.RCPT})
MESSAGE = frozenset({Phase.DATA, Phase.CONTENT, Phase.DOT})
ANY = frozenset(Phase)


@dataclass(frozen=True, slots=True)
class Rule:
    """Replies in `phases` with a code in `codes`, exactly this `status` if given, and `token` in the text."""

    name: str
    phases: frozenset[Phase]
    codes: range
    action: Action
    scope: Scope
    summary: str
    fix: str
    source: str
    status: EnhancedStatus | None = None
    token: str = ""  # lower case
    delay: float = 0.0  # seconds, see Verdict
    pause: float = 0.0
    hold: bool = False

    def matches(self, phase: Phase, reply: Reply) -> bool:
        """True if this rule knows the reply."""
        return (
            phase in self.phases
            and reply.code in self.codes
            and (self.status is None or self.status == reply.status)
            and self.token in reply.text.lower()
        )

    def verdict(self, reply: Reply) -> Verdict:
        """What the reply means."""
        return Verdict(
            action=self.action,
            scope=self.scope,
            explanation=Explanation(self.summary, self.fix),
            rule=self.name,
            reply=str(reply),
            delay=self.delay,
            pause=self.pause,
            hold=self.hold,
        )
