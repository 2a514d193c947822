"""PostgreSQL: autovacuum after a fixed number of dead rows, whatever the size of the table.

By default the server vacuums when a fifth of a table is dead: with a million messages every claim would first skip the
dead index entries of a hundred thousand others.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = ("messages", "attempts", "webhook_deliveries")  # tables whose rows leave at the front of an index
_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0",
    "autovacuum_vacuum_threshold = 20000",
    "vacuum_index_cleanup = on",  # also if few pages have dead rows: they are at the front of the index
)


def upgrade() -> None:
    """Vacuum after a fixed number of dead rows, with the indices."""
    if op.get_context().dialect.name == "postgresql":
        for table in _TABLES:
            op.execute(f"ALTER TABLE {table} SET ({', '.join(_OFTEN)})")


def downgrade() -> None:
    """Restore the defaults of the server."""
    if op.get_context().dialect.name == "postgresql":
        names = ", ".join(option.split(" = ")[0] for option in _OFTEN)
        for table in _TABLES:
            op.execute(f"ALTER TABLE {table} RESET ({names})")
