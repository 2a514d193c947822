"""Index of a mailbox's attempts: it has all that its limits and charts read, so that they read no attempts."""

from alembic import op

revision = "0022"
down_revision = "0021"

_NAME = "attempts_of_mailbox"


def upgrade() -> None:
    """Create the index anew."""
    _create("mailbox", "ended_at", "recipients", "phase", "failure")


def downgrade() -> None:
    """Create the former index."""
    _create("mailbox", "ended_at")


def _create(*columns: str) -> None:
    op.drop_index(_NAME, "attempts")
    op.create_index(_NAME, "attempts", [*columns])
