"""Non-delivery reports: progress of their readers, and deliveries without Exchange's id of the message."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_OPTIONS = {"sqlite_with_rowid": False}


def upgrade() -> None:
    """Create the table of the folders. A delivery that only such a report names has no network id."""
    with op.batch_alter_table("traces", table_kwargs=_OPTIONS) as table:
        table.alter_column("network_id", existing_type=sa.Uuid(), nullable=True)
    op.create_table(
        "report_folders",
        sa.Column("mailbox", sa.Text(), primary_key=True),
        sa.Column("folder", sa.Text(), primary_key=True),
        sa.Column("link", sa.Text()),
        sa.Column("read_at", sa.Double()),
        sa.Column("waiting", sa.JSON(), nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table. Deliveries that only a report names are forgotten: an earlier version needs the id."""
    op.drop_table("report_folders")
    op.execute("DELETE FROM traces WHERE network_id IS NULL")
    with op.batch_alter_table("traces", table_kwargs=_OPTIONS) as table:
        table.alter_column("network_id", existing_type=sa.Uuid(), nullable=False)
