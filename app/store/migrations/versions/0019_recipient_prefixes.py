"""PostgreSQL's index of recipients finds prefixes too: its order is that of the bytes. SQLite's does already."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_SETTLED = sa.text("state <> 'pending'")


def upgrade() -> None:
    """Create the index anew."""
    _create("lower(address) text_pattern_ops")


def downgrade() -> None:
    """Create the former index."""
    _create("lower(address)")


def _create(address: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("recipients_to", "recipients")
        op.create_index("recipients_to", "recipients", [sa.text(address), "message_id"], postgresql_where=_SETTLED)
