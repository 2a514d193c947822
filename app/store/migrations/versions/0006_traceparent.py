"""Trace context of the request of an email, so that its trace continues days later."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; it is empty without tracing."""
    op.add_column("messages", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    """Drop the column: traces of waiting emails end."""
    op.drop_column("messages", "traceparent")
