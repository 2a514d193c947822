"""PostgreSQL: what has left the front of an index is swept away by its number, however large the table is.

By default the server sweeps when a fifth of a table is dead: behind a million messages every claim would step over the
remains of a hundred thousand others first.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = ("messages", "attempts", "webhook_deliveries")  # whose rows pass through the front of an index
_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0",
    "autovacuum_vacuum_threshold = 20000",
    "vacuum_index_cleanup = on",  # even where few of the pages are concerned: they are those at the front
)


def upgrade() -> None:
    """After so many dead rows, and with the indices."""
    if op.get_context().dialect.name == "postgresql":
        for table in _TABLES:
            op.execute(f"ALTER TABLE {table} SET ({', '.join(_OFTEN)})")


def downgrade() -> None:
    """As the server does it by default."""
    if op.get_context().dialect.name == "postgresql":
        names = ", ".join(option.split(" = ")[0] for option in _OFTEN)
        for table in _TABLES:
            op.execute(f"ALTER TABLE {table} RESET ({names})")
