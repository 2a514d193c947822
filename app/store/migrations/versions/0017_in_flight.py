"""Messages under way: marks of the final dot, and outcomes that are not settled yet.

The previous version does not know them and would send such a message again: stop all its replicas first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table with the marks of open attempts."""
    op.create_table(
        "in_flight",
        sa.Column("message_id", sa.Uuid(), primary_key=True),
        sa.Column("lease", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.JSON(none_as_null=True)),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO in_flight (message_id, lease) SELECT m.id, m.lease FROM messages m JOIN attempts a "
        "ON a.message_id = m.id AND a.lease = m.lease "
        "WHERE m.state = 'active' AND a.ended_at IS NULL AND a.phase = 'dot'"
    )


def downgrade() -> None:
    """Move the marks back to the attempts. An outcome is lost, so its message is in doubt, and not sent unnoticed."""
    op.execute(
        "UPDATE attempts SET phase = 'dot' WHERE ended_at IS NULL AND EXISTS "
        "(SELECT 1 FROM in_flight f WHERE f.message_id = attempts.message_id AND f.lease = attempts.lease)"
    )
    op.drop_table("in_flight")
