"""Bounces of addresses that are suppressed after several."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "suppression_candidates",
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("email_id", sa.Uuid(), primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("suppression_candidates_by_age", "suppression_candidates", ["at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("suppression_candidates")
