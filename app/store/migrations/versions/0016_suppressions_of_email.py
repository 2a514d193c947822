"""Indices of the suppressions by the email that caused them, for erasure."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the indices."""
    op.create_index("suppressions_of_email", "suppressions", ["source_id"])
    op.create_index("suppression_candidates_of_email", "suppression_candidates", ["email_id"])


def downgrade() -> None:
    """Drop the indices."""
    op.drop_index("suppression_candidates_of_email", "suppression_candidates")
    op.drop_index("suppressions_of_email", "suppressions")
