"""Index of webhook deliveries by email, in all states, for erasure."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the index."""
    op.create_index("webhook_deliveries_about", "webhook_deliveries", ["subject"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("webhook_deliveries_about", "webhook_deliveries")
