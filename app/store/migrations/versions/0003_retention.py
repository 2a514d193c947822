"""Retention: contents of ended messages, later their rows, and Idempotency-Keys after a day."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_STORED = sa.text("ended_at IS NOT NULL AND content_removed_at IS NULL")
_EMPTIED = sa.text("content_removed_at IS NOT NULL")


def upgrade() -> None:
    """Add the time at which a content was removed, and indices by age."""
    op.add_column("messages", sa.Column("content_removed_at", sa.Double()))
    for name, where in (("messages_stored", _STORED), ("messages_emptied", _EMPTIED)):
        op.create_index(name, "messages", ["ended_at"], sqlite_where=where, postgresql_where=where)
    op.create_index("idempotency_by_age", "idempotency", ["created_at"])
