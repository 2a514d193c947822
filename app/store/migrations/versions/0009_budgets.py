"""Rate limits on recipients and bytes, besides messages. Existing rows start at 0."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_COLUMNS = ("minute_recipients", "minute_bytes", "day_recipients", "day_bytes")
_LIMITS = ("recipients_per_minute", "recipients_per_day", "bytes_per_minute", "bytes_per_day")
_KEYS = sa.table("api_keys", sa.column("id", sa.Uuid()), sa.column("policy", sa.JSON()))


def upgrade() -> None:
    """Add the counters at 0."""
    for name in _COLUMNS:
        op.add_column("budgets", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Count messages alone; the limits that need more are removed from the policies."""
    connection = op.get_bind()
    for id, policy in connection.execute(sa.select(_KEYS.c.id, _KEYS.c.policy)).all():
        kept = {name: value for name, value in policy.items() if name not in _LIMITS}
        if kept != policy:
            connection.execute(sa.update(_KEYS).where(_KEYS.c.id == id).values(policy=kept))
    for name in reversed(_COLUMNS):
        op.drop_column("budgets", name)
