"""Expiry date of a credential, with the explanation of its warning. Pure."""

from dataclasses import dataclass

from app.mail.outcome.verdict import Explanation


@dataclass(frozen=True, slots=True)
class CredentialExpiry:
    """Expiry of `what` at `at` (epoch seconds). `announced`: the warning is shown however far away the date is."""

    what: str
    at: float
    explanation: Explanation
    announced: bool = False
