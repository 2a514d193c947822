"""What of a credential ends by its date. Pure."""

from dataclasses import dataclass

from app.mail.verdict import Explanation


@dataclass(frozen=True, slots=True)
class Ending:
    """`what` ends at `at` (epoch seconds). `announced`: people are told long before."""

    what: str
    at: float
    explanation: Explanation
    announced: bool = False
