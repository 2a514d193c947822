"""Ownership of mailboxes by replicas."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables of replicas, owners, and draws of the tenant's daily recipients."""
    op.create_table(
        "replicas",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("serves", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
    )
    op.create_table(
        "owners",
        sa.Column("mailbox", sa.Text(), primary_key=True),
        sa.Column("replica", sa.Uuid()),
        sa.Column("token", sa.BigInteger(), nullable=False),
    )
    allowances = op.create_table(
        "allowances",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
    )
    op.bulk_insert(allowances, [{"id": UUID(int=0), "recipients": 0, "until": 1e18}])  # locked during a draw


def downgrade() -> None:
    """Drop the tables: one relay for each database."""
    for table in ("allowances", "owners", "replicas"):
        op.drop_table(table)
