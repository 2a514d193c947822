"""A mailbox's owner says how its wall clock stands: the next one, by whose clock it may be later, counts with it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Not known until a mailbox is taken."""
    op.add_column("owners", sa.Column("clock", sa.Text()))
    op.add_column("owners", sa.Column("ahead", sa.Double()))


def downgrade() -> None:
    """All clocks are the same again."""
    op.drop_column("owners", "ahead")
    op.drop_column("owners", "clock")
