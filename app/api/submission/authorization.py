"""Authorization of an email by the policy of its API key: sender, lane and recipients. Rate limits are the store's."""

from collections.abc import Callable

from app.api.problems.key_policy import LaneNotAllowed, RecipientNotAllowed, SenderNotAllowed
from app.mail.key_policy import Policy
from app.mail.message.address import Address
from app.mail.message.message import Submission
from app.mail.routing import allowed

Route = Callable[[Address], str | None]


def check(submission: Submission, policy: Policy) -> None:
    """Check an email against the policy. Raises SenderNotAllowed, LaneNotAllowed, RecipientNotAllowed."""
    if policy.senders and not allowed(submission.sender, policy.senders):
        raise SenderNotAllowed(submission.sender.addr_spec, f"This API key may send as {', '.join(policy.senders)}.")
    if not policy.takes_lane(submission.lane):
        raise LaneNotAllowed(submission.lane, policy.lanes)
    if disallowed := policy.disallowed_recipients(submission):
        raise RecipientNotAllowed([(field, address.addr_spec) for field, address in disallowed], policy.recipients)


def pool_for(sender: Address, route: Route, default: str | None) -> str:
    """Return the pool that relays for this sender. Raises SenderNotAllowed."""
    pool = route(sender)
    if pool is None:
        known = f"Use {default}" if default else "Use the address of a mailbox"
        raise SenderNotAllowed(sender.addr_spec, f"{known}, or add this sender to a pool in the settings.")
    return pool
