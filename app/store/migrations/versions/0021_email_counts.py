"""Numbers of ended emails by hour of acceptance, from the emails of the last two days."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_HOURS = 48
_FILL = sa.text("""
    INSERT INTO email_counts (hour, slot, sent, failed, canceled, delivered, bounced)
    SELECT :hour, 0, SUM(sent), SUM(failed), SUM(canceled), SUM(delivered), SUM(bounced) FROM (
        SELECT CASE WHEN event = 'sent' THEN 1 ELSE 0 END AS sent,
            CASE WHEN event = 'failed' THEN 1 ELSE 0 END AS failed,
            CASE WHEN event = 'canceled' THEN 1 ELSE 0 END AS canceled,
            CASE WHEN event = 'delivered' THEN 1 ELSE 0 END AS delivered,
            CASE WHEN event = 'bounced' THEN 1 ELSE 0 END AS bounced
        FROM (
            SELECT CASE
                WHEN m.state = 'cancelled' THEN 'canceled'
                WHEN EXISTS (SELECT 1 FROM traces t WHERE t.message_id = m.id AND t.state = 'bounced') THEN 'bounced'
                WHEN EXISTS (SELECT 1 FROM recipients r WHERE r.message_id = m.id
                    AND r.state NOT IN ('relayed', 'suppressed')) THEN 'failed'
                WHEN NOT EXISTS (SELECT 1 FROM recipients r WHERE r.message_id = m.id
                    AND r.state = 'relayed') THEN 'failed'
                WHEN EXISTS (SELECT 1 FROM recipients r
                    LEFT JOIN traces t ON t.message_id = r.message_id AND t.address = r.address
                    WHERE r.message_id = m.id AND r.state = 'relayed'
                    AND COALESCE(t.state, '') NOT IN ('delivered', 'junk')) THEN 'sent'
                ELSE 'delivered' END AS event
            FROM messages m WHERE m.id >= :first AND m.id < :end AND m.state IN ('done', 'cancelled')
        ) events
    ) numbers HAVING COUNT(*) > 0
""").bindparams(sa.bindparam("first", type_=sa.Uuid()), sa.bindparam("end", type_=sa.Uuid()))
_NEWEST = sa.text("SELECT id FROM messages ORDER BY id DESC LIMIT 1").columns(id=sa.Uuid())


def upgrade() -> None:
    """Create the table and fill it."""
    op.create_table(
        "email_counts",
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
        *(
            sa.Column(event, sa.Integer(), nullable=False)
            for event in ("sent", "failed", "canceled", "delivered", "bounced")
        ),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    newest = connection.execute(_NEWEST).scalar()
    last = -1 if newest is None else (newest.int >> 80) // 3_600_000
    for hour in range(max(last - _HOURS, 0), last + 1):
        connection.execute(_FILL, {"hour": hour, "first": _first(hour), "end": _first(hour + 1)})


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("email_counts")


def _first(hour: int) -> UUID:
    return UUID(int=hour * 3_600_000 << 80)
