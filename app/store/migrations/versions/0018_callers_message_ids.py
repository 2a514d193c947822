"""Index of the Message-IDs that callers chose: all of them, also those that begin with a UUIDv7."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_NAME = "messages_callers_message_id"
_SQLITE = sa.text("(replace(substr(message_id, 1, 36), '-', '') <> id)")
_POSTGRESQL = sa.text("(substr(message_id, 1, 36) <> id::text)")
_BEFORE = sa.text("(substr(message_id, 37, 1) <> '@' OR substr(message_id, 15, 1) <> '7')")


def upgrade() -> None:
    """Create the index anew."""
    _create(_SQLITE, _POSTGRESQL)


def downgrade() -> None:
    """Create the former index."""
    _create(_BEFORE, _BEFORE)


def _create(sqlite: sa.TextClause, postgresql: sa.TextClause) -> None:
    op.drop_index(_NAME, "messages")
    op.create_index(_NAME, "messages", ["message_id"], sqlite_where=sqlite, postgresql_where=postgresql)
