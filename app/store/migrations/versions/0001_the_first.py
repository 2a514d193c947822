"""The first schema. It is never changed: later changes are revisions of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WAITING = sa.text("state IN ('deferred', 'queued')")
_READY = sa.text("state IN ('deferred', 'queued') AND turn IS NOT NULL")
_RESTING = sa.text("state IN ('deferred', 'queued') AND turn IS NULL")
_COALESCING = sa.text("state IN ('deferred', 'queued') AND coalesce IS NOT NULL")
_ACTIVE = sa.text("state = 'active'")
_SETTLED = sa.text("state != 'pending'")
_FAILED = sa.text("state = 'failed'")
_UNTOLD = sa.text("state = 'pending'")
_GIVEN_UP = sa.text("state = 'failed'")


def upgrade() -> None:
    """Create all tables and indices."""
    _messages()
    _index_messages()
    _recipients()
    _of_messages()
    _beside_messages()
    _webhooks()
    _webhook_deliveries()
    if op.get_context().dialect.name == "postgresql":
        # Mail hardly compresses (attachments are compressed already), and the attempt costs more than the space.
        op.execute("ALTER TABLE contents ALTER COLUMN content SET STORAGE EXTERNAL")


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("scheduled_at", sa.Double()),
        sa.Column("due_since", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double()),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("lease", sa.Uuid()),
        sa.Column("lease_until", sa.Double()),
        sa.Column("mailbox", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("possible_duplicate", sa.Boolean(), nullable=False),
        sa.Column("on_unknown", sa.Text(), nullable=False),
        sa.Column("coalesce", sa.Text()),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("mail_from", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("head", sa.JSON(), nullable=False),
        sa.Column("explanation", sa.JSON(none_as_null=True)),
        sqlite_with_rowid=False,
    )


def _index_messages() -> None:
    for name, columns, where in (
        ("messages_ready", ["pool", "lane", "turn", "id"], _READY),
        ("messages_resting", ["pool", "due_at", "id"], _RESTING),
        ("messages_coalescing", ["key_id", "coalesce"], _COALESCING),
        ("messages_expiry", ["state", "expires_at"], _WAITING),
        ("messages_leases", ["state", "lease_until"], _ACTIVE),
        ("messages_of_key", ["key_id", "id"], None),
        ("messages_by_state", ["state", "id"], None),
    ):
        op.create_index(name, "messages", columns, sqlite_where=where, postgresql_where=where)


def _recipients() -> None:
    op.create_table(
        "recipients",
        _message(),
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text()),
        sqlite_with_rowid=False,
    )
    by_address: list[str | sa.TextClause] = [sa.text("lower(address)"), "message_id"]
    op.create_index("recipients_to", "recipients", by_address, sqlite_where=_SETTLED, postgresql_where=_SETTLED)
    op.create_index(
        "recipients_failed", "recipients", ["state", "message_id"], sqlite_where=_FAILED, postgresql_where=_FAILED
    )


def _of_messages() -> None:
    op.create_table(
        "turns",
        sa.Column("pool", sa.Text(), primary_key=True),
        sa.Column("lane", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.Uuid(), primary_key=True),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("turns_last", "turns", ["pool", "lane", "last"])
    op.create_table(
        "attempts",
        _message(),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("in_doubt", sa.Boolean(), nullable=False),
        sa.Column("replies", sa.JSON(), nullable=False),
        sa.Column("verdicts", sa.JSON(), nullable=False),
        sa.Column("dialogue", sa.JSON(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("attempts_of_mailbox", "attempts", ["mailbox", "ended_at"])
    op.create_table("contents", _message(), sa.Column("content", sa.LargeBinary(), nullable=False))


def _beside_messages() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("senders", sa.JSON(), nullable=False),
        sa.Column("default_sender", sa.Text()),
        sa.Column("revoked_at", sa.Double()),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.Uuid(), primary_key=True),
        sa.Column("endpoint", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ids", sa.JSON(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("beats", sa.Integer(), nullable=False),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
    )
    op.create_index("webhooks_by_status", "webhooks", ["status"])
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("once", sa.Text(), unique=True),
    )
    op.create_table(
        "patience",
        sa.Column("at", sa.Double(), primary_key=True),
        sa.Column("message_id", sa.Uuid(), primary_key=True),
        sqlite_with_rowid=False,
    )


def _webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("lease", sa.Uuid()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
    )
    for name, columns, where in (
        ("webhook_deliveries_of", ["webhook_id", "event_id"], None),
        ("webhook_deliveries_due", ["webhook_id", "next_at", "number"], _UNTOLD),
        ("webhook_deliveries_in_line", ["webhook_id", "subject", "number"], _UNTOLD),
        ("webhook_deliveries_given_up", ["webhook_id", "event_id"], _GIVEN_UP),
    ):
        op.create_index(
            name, "webhook_deliveries", columns, unique=where is None, sqlite_where=where, postgresql_where=where
        )


def _message() -> sa.Column[object]:
    return sa.Column("message_id", sa.Uuid(), sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
