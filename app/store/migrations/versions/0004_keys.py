"""Policies, several secrets and rate limits of API keys; the audit of changes and refusals."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_HANDLE = 8  # bytes of a hash that are indexed

_OLD = sa.table(
    "api_keys",
    *(sa.column("id", sa.Uuid()), sa.column("digest", sa.LargeBinary()), sa.column("name", sa.Text())),
    *(sa.column("permission", sa.Text()), sa.column("created_at", sa.Double()), sa.column("senders", sa.JSON())),
    *(sa.column("default_sender", sa.Text()), sa.column("revoked_at", sa.Double())),
)
_NEW = sa.table(
    "api_keys",
    *(sa.column("id", sa.Uuid()), sa.column("name", sa.Text()), sa.column("permission", sa.Text())),
    *(sa.column("policy", sa.JSON()), sa.column("disabled", sa.Boolean()), sa.column("created_at", sa.Double())),
    *(sa.column("revoked_at", sa.Double()), sa.column("last_used_at", sa.Double())),
)
_SECRETS = sa.table(
    "api_key_secrets",
    *(sa.column("digest", sa.LargeBinary()), sa.column("handle", sa.LargeBinary()), sa.column("key_id", sa.Uuid())),
    *(sa.column("created_at", sa.Double()), sa.column("expires_at", sa.Double())),
)


def upgrade() -> None:
    """Create the tables. Existing keys retain their secret, permission and senders."""
    old = op.get_bind().execute(sa.select(_OLD)).all()
    op.drop_table("api_keys")
    _keys()
    _beside_keys()
    for row in old:
        policy = {"senders": row.senders, "default_sender": row.default_sender}
        values = {name: getattr(row, name) for name in ("id", "name", "permission", "created_at", "revoked_at")}
        given = {name: value for name, value in policy.items() if value}
        op.execute(_NEW.insert().values(**values, policy=given, disabled=False))
        secret = {"digest": row.digest, "handle": row.digest[:_HANDLE], "created_at": row.created_at}
        op.execute(_SECRETS.insert().values(**secret, key_id=row.id))


def downgrade() -> None:
    """Reduce a key to its newest secret and its senders. A key with a narrower policy is revoked."""
    keys = op.get_bind().execute(sa.select(_NEW)).all()
    newest = sa.select(_SECRETS).order_by(_SECRETS.c.created_at)
    digests = {row.key_id: row.digest for row in op.get_bind().execute(newest)}
    for table in ("audit", "budgets", "api_key_secrets", "api_keys"):
        op.drop_table(table)
    _old_keys()
    for row in keys:
        op.execute(_OLD.insert().values(**_old_values(row), digest=digests[row.id]))


def _old_values(row: sa.Row[Any]) -> dict[str, Any]:
    confined = row.disabled or row.policy.keys() - {"senders", "default_sender"}
    return {
        **{name: getattr(row, name) for name in ("id", "name", "permission", "created_at")},
        "senders": row.policy.get("senders", []),
        "default_sender": row.policy.get("default_sender"),
        "revoked_at": row.revoked_at or (row.created_at if confined else None),
    }


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
    )
    op.create_table(
        "api_key_secrets",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sqlite_with_rowid=False,
    )
    op.create_index("api_key_secrets_by_handle", "api_key_secrets", ["handle"])
    op.create_index("api_key_secrets_of_key", "api_key_secrets", ["key_id"])


def _beside_keys() -> None:
    op.create_table(
        "budgets",
        sa.Column("key_id", sa.Uuid(), primary_key=True),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("minute_used", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("day_used", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("once", sa.Text(), unique=True),
        sqlite_with_rowid=False,
    )


def _old_keys() -> None:
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
