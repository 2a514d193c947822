"""Reports of Exchange's message trace, and its readers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_CALLERS = sa.text("(substr(message_id, 37, 1) <> '@' OR substr(message_id, 15, 1) <> '7')")


def upgrade() -> None:
    """Create the tables, and the index of the Message-IDs that callers chose."""
    op.create_table(
        "traces",
        sa.Column("message_id", sa.Uuid(), sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("network_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("duplicate_id", sa.Uuid()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "trace_readers",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Uuid()),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("watermark", sa.Double()),
        sa.Column("swept_at", sa.Double()),
        sa.Column("requests", sa.JSON(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("traces_by_state", "traces", ["state", "message_id"])
    op.create_index(
        "messages_callers_message_id", "messages", ["message_id"], sqlite_where=_CALLERS, postgresql_where=_CALLERS
    )


def downgrade() -> None:
    """Drop the tables and the index."""
    op.drop_index("messages_callers_message_id", "messages")
    op.drop_table("trace_readers")
    op.drop_table("traces")
