"""An email may know the request that it came with, so that a trace leads on days later."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Empty where nobody makes traces."""
    op.add_column("messages", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    """Traces of what waits end here."""
    op.drop_column("messages", "traceparent")
