"""Errors about an API key: its policy (senders, lanes, recipients), rate limits, attempts, and its revocation."""

import math
from collections.abc import Sequence

from app.api.problems.problem import MAX_DETAILS, ErrorName, Problem
from app.mail.key_policy import Amount, Unit, Window
from app.mail.times import MINUTE


class NotAllowed(Problem):
    """The API key may not send this email. The first error gives the message; `details` has all."""

    status = 403

    def __init__(self, reason: str, violations: Sequence[tuple[str, str]]) -> None:
        field, sentence = violations[0]
        details = [{"field": at, "message": why} for at, why in violations[:MAX_DETAILS]]
        super().__init__(f"{field}: {sentence}", reason=reason, details=details)


class SenderNotAllowed(NotAllowed):
    """No pool or key may send as this address."""

    def __init__(self, sender: str, fix: str) -> None:
        super().__init__("sender_not_allowed", [("from", f"{sender} may not be used as a sender here. {fix}")])


class LaneNotAllowed(NotAllowed):
    """The API key is restricted to other lanes."""

    def __init__(self, lane: str, lanes: Sequence[str]) -> None:
        sentence = f"This API key may not send in the lane {lane}. Use {' or '.join(lanes)}, or leave it out."
        super().__init__("lane_not_allowed", [("lane", sentence)])


class RecipientNotAllowed(NotAllowed):
    """The API key is restricted to other recipients."""

    def __init__(self, disallowed: Sequence[tuple[str, str]], recipients: Sequence[str]) -> None:
        fix = f"It may send to {', '.join(recipients)}."
        sentences = [(field, f"This API key may not send to {address}. {fix}") for field, address in disallowed]
        super().__init__("recipient_not_allowed", sentences)


class RateLimitExceeded(Problem):
    """The API key has reached its limit of this minute or day. Nothing was stored."""

    status = 429

    def __init__(self, window: Window, amount: Amount, now: float) -> None:
        of_minute, count = window.seconds == MINUTE, amount.in_unit(window.unit)
        seconds = max(1, math.ceil(window.end - now))
        to = "to " if window.unit is Unit.RECIPIENTS else ""
        limit = f"{to}{_counted(window.limit, window.unit)} a {'minute' if of_minute else 'day'}"
        if count > window.limit:
            sentence = (
                f"This request has {_counted(count, window.unit)}, and its API key may send {limit}: "
                "send fewer in a request."
            )
        else:
            sentence = (
                f"This API key may send {limit}, and {window.remaining} of them are left; this request has {count}. "
                f"Send this again in {seconds} seconds."
            )
        name = ErrorName.RATE_LIMIT_EXCEEDED if of_minute else ErrorName.DAILY_QUOTA_EXCEEDED
        headers = {"retry-after": str(seconds)}
        super().__init__(sentence, name=name, reason=f"{window.unit}_budget", headers=headers)


def _counted(count: int, unit: Unit) -> str:
    return f"{count} {unit if count != 1 else unit.removesuffix('s')}"


class TooManyAttempts(Problem):
    """The API key has made too many validations, reschedules and refused sends in this minute."""

    status = 429
    name = ErrorName.RATE_LIMIT_EXCEEDED
    reason = "too_many_attempts"

    def __init__(self, limit: int, seconds: int) -> None:
        super().__init__(
            f"This API key has made {limit} validations, reschedules and refused sends in this minute, which is the "
            f"limit. Correct the requests that are refused, and send this again in {seconds} seconds.",
            headers={"retry-after": str(seconds)},
        )


class KeyRevoked(Problem):
    """The key is revoked, so it cannot be rotated."""

    message = "The key is revoked, which cannot be undone. Make a new one."
    reason = "key_revoked"
