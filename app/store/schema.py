"""Definitions of all tables and indices. Times are epoch seconds; ids are UUIDv7, so they sort by age.

The queue's row is small: content is a row of its own, and what only people read is JSON. Every index that the queue
works by is partial, so that it holds what waits or is under way and not what is over: its cost does not grow with
the history. A change here needs a migration; a test holds the two together.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    func,
    literal_column,
)

from app.mail.lifecycle import WAITING_STATES, MessageState, RecipientState

metadata = MetaData()

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("key_id", Uuid, nullable=False),
    Column("pool", Text, nullable=False),
    Column("lane", Integer, nullable=False),  # 0 is urgent: the lower goes first
    Column("turn", BigInteger),  # its place in the lane; none before it is due
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("scheduled_at", Double),
    Column("due_since", Double, nullable=False),  # when it was first to be relayed: its age counts from here
    Column("due_at", Double),
    Column("expires_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("lease", Uuid),
    Column("lease_until", Double),
    Column("mailbox", Text),
    Column("attempts", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),  # attempts that ended in doubt
    Column("possible_duplicate", Boolean, nullable=False),
    Column("on_unknown", Text, nullable=False),
    Column("coalesce", Text),  # of those with the same value and key, only the newest is relayed
    Column("message_id", Text, nullable=False),
    Column("mail_from", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    Column("size", Integer, nullable=False),
    Column("head", JSON, nullable=False),
    Column("explanation", JSON(none_as_null=True)),
    Column("content_removed_at", Double),  # null while its content is kept
    Column("traceparent", Text),  # of the request that it came with, where traces are made
    sqlite_with_rowid=False,
)

turns = Table(
    "turns",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Uuid, primary_key=True),
    Column("last", BigInteger, nullable=False),  # the turn of the key's newest message in this lane
    sqlite_with_rowid=False,
)

recipients = Table(
    "recipients",
    metadata,
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("address", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reply", Text),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("mailbox", Text, nullable=False),
    Column("lease", Uuid, nullable=False),
    Column("recipients", Integer, nullable=False),  # how many were offered
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("phase", Text, nullable=False),
    Column("failure", Text),
    Column("detail", Text),
    Column("in_doubt", Boolean, nullable=False),
    Column("replies", JSON, nullable=False),
    Column("verdicts", JSON, nullable=False),
    Column("dialogue", JSON, nullable=False),
    sqlite_with_rowid=False,
)

contents = Table(
    "contents",
    metadata,
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("permission", Text, nullable=False),
    Column("policy", JSON, nullable=False),  # only what it forbids or sets
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

api_key_secrets = Table(
    "api_key_secrets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the secret
    Column("handle", LargeBinary, nullable=False),  # its first octets, by which it is looked up
    Column("key_id", Uuid, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),  # of one that was replaced
    sqlite_with_rowid=False,
)

budgets = Table(
    "budgets",  # amounts used; a row for each key that has a budget and has sent
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("minute", BigInteger, nullable=False),  # when the window began, in epoch seconds
    Column("minute_used", BigInteger, nullable=False),  # messages
    Column("day", BigInteger, nullable=False),
    Column("day_used", BigInteger, nullable=False),
    Column("minute_recipients", BigInteger, nullable=False, server_default="0"),
    Column("minute_bytes", BigInteger, nullable=False, server_default="0"),
    Column("day_recipients", BigInteger, nullable=False, server_default="0"),
    Column("day_bytes", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", Double, nullable=False),
    Column("last_at", Double, nullable=False),  # of what is told in one row, the last
    Column("times", BigInteger, nullable=False),  # and how often
    Column("actor", Text, nullable=False),
    Column("key_id", Uuid),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("request_id", Text),
    Column("once", Text, unique=True),  # the name of what is told in one row
    sqlite_with_rowid=False,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ids", JSON, nullable=False),
    sqlite_with_rowid=False,
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("pool", Text, nullable=False),
    Column("health", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double),
    Column("rest", Double, nullable=False),
    Column("explanation", JSON(none_as_null=True)),
    Column("refusals", Integer, nullable=False),
    Column("entering", Boolean, nullable=False),
    Column("connections", Integer),
    Column("grows_at", Double),
    Column("wish_at", Double),  # when a person wished something that the relay has not heard yet
    Column("wish_hold", Boolean, nullable=False, server_default=false()),
    Column("wish_reason", Text, nullable=False, server_default=""),
)

replicas = Table(
    "replicas",  # the processes that relay, each as long as it says so
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),  # for people
    Column("serves", Text, nullable=False),  # tells who may own the same mailboxes
    Column("until", Double, nullable=False),  # by the database's clock
)

owners = Table(
    "owners",  # whose each mailbox is
    metadata,
    Column("mailbox", Text, primary_key=True),
    Column("replica", Uuid),
    Column("token", BigInteger, nullable=False),  # grows with every owner, and with none: the fence
    Column("clock", Text),  # against which the owner's wall clock was read when it took the mailbox
    Column("ahead", Double),  # and by how many seconds it was ahead of that
)

allowances = Table(
    "allowances",  # recipients of a tenant's day, drawn by replicas
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("recipients", Integer, nullable=False),
    Column("until", Double, nullable=False),  # they count so long, by the database's clock
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("beats", Integer, nullable=False),
)

ended_sessions = Table(
    "ended_sessions",  # of the console, logged out before their time
    metadata,
    Column("id", Text, primary_key=True),
    Column("until", Double, nullable=False),  # when their cookies end anyway
    sqlite_with_rowid=False,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),  # why it is disabled
    Column("created_at", Double, nullable=False),
    Column("secrets", JSON, nullable=False),  # the one in force first, then those that still sign beside it
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),  # the bytes that are signed and sent
    Column("once", Text, unique=True),  # the name of what is told a single time
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # In the order in which they happened: who changes an email holds its row, so its events get their numbers in turn.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("webhook_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),  # what of one subject is told in order
    Column("state", Text, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("lease", Uuid),
    Column("tries", Integer, nullable=False),  # since it was put in line
    Column("history", JSON, nullable=False),  # of the last tries: when, status, answer
)

delay_notices = Table(
    "patience",  # when a waiting message's caller is told of a delay; only while a webhook wants to hear of it
    metadata,
    Column("at", Double, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    sqlite_with_rowid=False,
)

# Written out and not bound: a partial index is used only where the query shows the index's own condition.
WAITING = messages.c.state.in_([literal_column(f"'{state}'") for state in sorted(WAITING_STATES)])
ACTIVE = messages.c.state == literal_column(f"'{MessageState.ACTIVE}'")
READY = WAITING & messages.c.turn.is_not(None)  # it may be claimed
RESTING = WAITING & messages.c.turn.is_(None)  # until it is due
COALESCING = WAITING & messages.c.coalesce.is_not(None)
ENDED_WITH_CONTENT = messages.c.ended_at.is_not(None) & messages.c.content_removed_at.is_(None)  # it is over
CONTENT_REMOVED = messages.c.content_removed_at.is_not(None)
SETTLED = recipients.c.state != literal_column(f"'{RecipientState.PENDING}'")
FAILED = recipients.c.state == literal_column(f"'{RecipientState.FAILED}'")
PENDING_DELIVERY = webhook_deliveries.c.state == literal_column("'pending'")
FAILED_DELIVERY = webhook_deliveries.c.state == literal_column("'failed'")

# `state` stands in these two only so that SQLite, which keeps no statistics here, prefers them to messages_by_state.
Index("messages_expiry", messages.c.state, messages.c.expires_at, sqlite_where=WAITING, postgresql_where=WAITING)
Index("messages_leases", messages.c.state, messages.c.lease_until, sqlite_where=ACTIVE, postgresql_where=ACTIVE)
Index(
    "messages_ready",
    *(messages.c.pool, messages.c.lane, messages.c.turn, messages.c.id),
    sqlite_where=READY,
    postgresql_where=READY,
)
Index(
    "messages_resting",
    *(messages.c.pool, messages.c.due_at, messages.c.id),
    sqlite_where=RESTING,
    postgresql_where=RESTING,
)
Index(
    "messages_coalescing",
    *(messages.c.key_id, messages.c.coalesce),
    sqlite_where=COALESCING,
    postgresql_where=COALESCING,
)
# For retention. What is over stands in one of these, by its end.
Index("messages_stored", messages.c.ended_at, sqlite_where=ENDED_WITH_CONTENT, postgresql_where=ENDED_WITH_CONTENT)
Index("messages_emptied", messages.c.ended_at, sqlite_where=CONTENT_REMOVED, postgresql_where=CONTENT_REMOVED)
Index("idempotency_by_age", idempotency.c.created_at)
# For lists (see listing.py). A recipient gets into these when it was offered, so that accepting an email pays for none.
Index(
    "recipients_to",
    *(func.lower(recipients.c.address), recipients.c.message_id),
    sqlite_where=SETTLED,
    postgresql_where=SETTLED,
)
Index(
    "recipients_failed",
    *(recipients.c.state, recipients.c.message_id),
    sqlite_where=FAILED,
    postgresql_where=FAILED,
)
Index("messages_by_state", messages.c.state, messages.c.id)
Index("messages_of_key", messages.c.key_id, messages.c.id)
Index("turns_last", turns.c.pool, turns.c.lane, turns.c.last)
Index("attempts_of_mailbox", attempts.c.mailbox, attempts.c.ended_at)  # the open ones too: ended_at is NULL
Index("api_key_secrets_by_handle", api_key_secrets.c.handle)
Index("api_key_secrets_of_key", api_key_secrets.c.key_id)
Index("webhooks_by_status", webhooks.c.status)
Index("webhook_deliveries_of", webhook_deliveries.c.webhook_id, webhook_deliveries.c.event_id, unique=True)
Index("webhook_deliveries_about", webhook_deliveries.c.subject)  # for an erasure
Index(
    "webhook_deliveries_due",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.next_at, webhook_deliveries.c.number),
    sqlite_where=PENDING_DELIVERY,
    postgresql_where=PENDING_DELIVERY,
)
Index(
    "webhook_deliveries_in_line",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.subject, webhook_deliveries.c.number),
    sqlite_where=PENDING_DELIVERY,
    postgresql_where=PENDING_DELIVERY,
)
Index(
    "webhook_deliveries_given_up",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.event_id),
    sqlite_where=FAILED_DELIVERY,
    postgresql_where=FAILED_DELIVERY,
)
