"""Clock of each mailbox's owner, so that the next owner can correct times by the difference."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; they are unknown until a mailbox is acquired."""
    op.add_column("owners", sa.Column("clock", sa.Text()))
    op.add_column("owners", sa.Column("ahead", sa.Double()))


def downgrade() -> None:
    """Drop the columns: all clocks count as equal."""
    op.drop_column("owners", "ahead")
    op.drop_column("owners", "clock")
