"""What of a credential ends by its date. Pure."""

from dataclasses import dataclass

from app.mail.outcome.verdict import Explanation


@dataclass(frozen=True, slots=True)
class CredentialExpiry:
    """`what` ends at `at` (epoch seconds). `announced`: people are told long before."""

    what: str
    at: float
    explanation: Explanation
    announced: bool = False
