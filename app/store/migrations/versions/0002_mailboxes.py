"""Condition of each mailbox, which survives a restart, and hold requests of operators."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create one row for each mailbox, when it first relays."""
    op.create_table(
        "mailboxes",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double()),
        sa.Column("rest", sa.Double(), nullable=False),
        sa.Column("explanation", sa.JSON()),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("entering", sa.Boolean(), nullable=False),
        sa.Column("connections", sa.Integer()),
        sa.Column("grows_at", sa.Double()),
        sa.Column("wish_at", sa.Double()),
        sa.Column("wish_hold", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("wish_reason", sa.Text(), nullable=False, server_default=""),
    )
