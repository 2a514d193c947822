"""Index of the suppressed recipients, for the list of failed emails."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_SUPPRESSED = sa.text("state = 'suppressed'")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "recipients_suppressed",
        "recipients",
        ["state", "message_id"],
        sqlite_where=_SUPPRESSED,
        postgresql_where=_SUPPRESSED,
    )


def downgrade() -> None:
    """Drop the index. Suppressed recipients count as failed."""
    op.drop_index("recipients_suppressed", "recipients")
    op.execute("UPDATE recipients SET state = 'failed' WHERE state = 'suppressed'")
