"""Suppression list."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_EXPIRES = sa.text("expires_at IS NOT NULL")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "suppressions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False, unique=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("evidence", sa.JSON()),
        sqlite_with_rowid=False,
    )
    op.create_index("suppressions_by_origin", "suppressions", ["origin", "id"])
    op.create_index(
        "suppressions_expiry", "suppressions", ["expires_at"], sqlite_where=_EXPIRES, postgresql_where=_EXPIRES
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("suppressions")
