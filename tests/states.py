"""Numbers of emails by their state."""

from collections import Counter

from app.mail.lifecycle import MessageState
from app.store import Store
from app.store.read.records import Selection

_MAX_EMAILS = 100_000  # of a test


async def count_states(store: Store) -> dict[MessageState, int]:
    """Return the number of emails in each state, also of states without one."""
    page = await store.list_emails(Selection(scan_limit=_MAX_EMAILS), _MAX_EMAILS, 0.0)
    assert page.next_id is None, "there are too many emails"
    return dict.fromkeys(MessageState, 0) | Counter(email.state for email in page.emails)
