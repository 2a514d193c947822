"""Definitions of all tables and indices, and the conditions of the partial ones.

Times are epoch seconds; ids are UUIDv7, so they sort by age.

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
from app.store.db.dialect import CallersMessageId

metadata = MetaData()

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("key_id", Uuid, nullable=False),
    Column("pool", Text, nullable=False),
    Column("lane", Integer, nullable=False),  # 0 is urgent: the lower goes first
    Column("turn", BigInteger),  # order in the lane; NULL before it is due
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("scheduled_at", Double),
    Column("due_since", Double, nullable=False),  # first due time: the age counts from it
    Column("due_at", Double),
    Column("expires_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("lease", Uuid),
    Column("lease_until", Double),
    Column("mailbox", Text),
    Column("attempts", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),  # attempts with an unknown outcome
    Column("possible_duplicate", Boolean, nullable=False),
    Column("on_unknown", Text, nullable=False),
    Column("coalesce", Text),  # of messages with the same value and key, only the newest is relayed
    Column("message_id", Text, nullable=False),
    Column("mail_from", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    Column("size", Integer, nullable=False),
    Column("head", JSON, nullable=False),
    Column("explanation", JSON(none_as_null=True)),
    Column("content_removed_at", Double),  # NULL while the content is stored
    Column("traceparent", Text),  # of the request, if traces are recorded
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
    Column("recipients", Integer, nullable=False),  # number attempted
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

in_flight = Table(
    "in_flight",  # active messages from the mark of the final dot to the settlement
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("lease", Uuid, nullable=False),
    Column("outcome", JSON(none_as_null=True)),  # of the attempt, once it is known
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
    Column("policy", JSON, nullable=False),  # only the rules that are set
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

api_key_secrets = Table(
    "api_key_secrets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the secret
    Column("handle", LargeBinary, nullable=False),  # its first bytes, used for the lookup
    Column("key_id", Uuid, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),  # of a replaced secret
    sqlite_with_rowid=False,
)

budgets = Table(
    "budgets",  # used amounts; a row for each key with a rate limit that has sent
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("minute", BigInteger, nullable=False),  # start of the window (epoch seconds)
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
    Column("last_at", Double, nullable=False),  # latest of the occurrences that share this row
    Column("times", BigInteger, nullable=False),  # number of occurrences
    Column("actor", Text, nullable=False),
    Column("key_id", Uuid),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("request_id", Text),
    Column("once", Text, unique=True),  # deduplication key of occurrences that share a row
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
    Column("wish_at", Double),  # time of an operator's request that the relay has not applied yet
    Column("wish_hold", Boolean, nullable=False, server_default=false()),
    Column("wish_reason", Text, nullable=False, server_default=""),
)

replicas = Table(
    "replicas",  # relaying processes, each until its heartbeat expires
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),  # shown to people
    Column("serves", Text, nullable=False),  # replicas with the same value may own the same mailboxes
    Column("until", Double, nullable=False),  # by the database's clock
)

owners = Table(
    "owners",  # owner of each mailbox
    metadata,
    Column("mailbox", Text, primary_key=True),
    Column("replica", Uuid),
    Column("token", BigInteger, nullable=False),  # fencing token: grows with every change of the owner
    Column("clock", Text),  # reference for the owner's wall clock when it took the mailbox
    Column("ahead", Double),  # seconds by which the wall clock was ahead of the reference
)

allowances = Table(
    "allowances",  # parts of a tenant's daily recipients, reserved by replicas
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("recipients", Integer, nullable=False),
    Column("until", Double, nullable=False),  # valid until, by the database's clock
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("beats", Integer, nullable=False),
)

ended_sessions = Table(
    "ended_sessions",  # console sessions that were logged out
    metadata,
    Column("id", Text, primary_key=True),
    Column("until", Double, nullable=False),  # expiry of the cookie
    sqlite_with_rowid=False,
)

suppressions = Table(
    "suppressions",  # addresses to which no email is sent
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("address", Text, nullable=False, unique=True),  # in the form for comparisons
    Column("origin", Text, nullable=False),
    Column("source_id", Uuid),  # the email that caused it
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),  # NULL: it stays until it is removed
    Column("evidence", JSON(none_as_null=True)),
    sqlite_with_rowid=False,
)

suppression_candidates = Table(
    "suppression_candidates",  # bounces of addresses that are suppressed after several
    metadata,
    Column("address", Text, primary_key=True),  # in the form for comparisons
    Column("email_id", Uuid, primary_key=True),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),  # reason for which it is disabled
    Column("created_at", Double, nullable=False),
    Column("secrets", JSON, nullable=False),  # the current one first, then older ones that still sign
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),  # the bytes that are signed and sent
    Column("once", Text, unique=True),  # deduplication key of an event that is published once
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # In order of occurrence: a change of an email locks its row, so its events are numbered in order.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("webhook_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),  # deliveries of one subject are made in order
    Column("state", Text, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("lease", Uuid),
    Column("tries", Integer, nullable=False),  # since it was queued
    Column("history", JSON, nullable=False),  # latest tries: time, status, answer
)

traces = Table(
    "traces",  # what Exchange reported of a recipient, in its trace or by a report; a row from the first report on
    metadata,
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("address", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("at", Double, nullable=False),  # time at which Postern read the state
    Column("network_id", Uuid),  # Exchange's id of the message; NULL: only a non-delivery report is known
    Column("code", Text, nullable=False),  # enhanced status code of a bounce or delay, or ""
    Column("cause", Text, nullable=False),
    Column("duplicate_id", Uuid),  # network id of a second message with the same Message-ID and recipient
    sqlite_with_rowid=False,
)

trace_readers = Table(
    "trace_readers",  # readers of the message trace, one for each tenant, and of reports, one for each mailbox
    metadata,
    Column("tenant", Text, primary_key=True),  # or the address of the mailbox
    Column("holder", Uuid),  # the replica that reads
    Column("token", BigInteger, nullable=False),  # fencing token: grows with every change of the holder
    Column("until", Double, nullable=False),  # of the holder's lease, by the database's clock
    Column("watermark", Double),  # every row received until then (by Exchange's clock) has been read
    Column("swept_at", Double),  # latest pass over older rows
    Column("requests", JSON, nullable=False),  # of the last minutes: time (by Exchange's clock) and number
    sqlite_with_rowid=False,
)

report_folders = Table(
    "report_folders",  # folders that are read for non-delivery reports
    metadata,
    Column("mailbox", Text, primary_key=True),
    Column("folder", Text, primary_key=True),
    Column("link", Text),  # where Graph continues; NULL: from the start
    Column("read_at", Double),  # start of the last complete round (by Exchange's clock)
    Column("waiting", JSON, nullable=False),  # reports before our own settlement: Graph's id, time of reception
    sqlite_with_rowid=False,
)

email_counts = Table(
    "email_counts",  # ended emails that were accepted in an hour, by event (see email_counts.py)
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # since the epoch
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("sent", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("canceled", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("bounced", Integer, nullable=False),
    sqlite_with_rowid=False,
)

delay_notices = Table(
    "patience",  # times of delay events; only while a webhook subscribes to them
    metadata,
    Column("at", Double, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    sqlite_with_rowid=False,
)

# Literals, not parameters: a partial index is used only if the query contains the index's condition.
WAITING = messages.c.state.in_([literal_column(f"'{state}'") for state in sorted(WAITING_STATES)])
ACTIVE = messages.c.state == literal_column(f"'{MessageState.ACTIVE}'")
READY = WAITING & messages.c.turn.is_not(None)  # may be claimed
RESTING = WAITING & messages.c.turn.is_(None)  # not due yet
COALESCING = WAITING & messages.c.coalesce.is_not(None)
ENDED_WITH_CONTENT = messages.c.ended_at.is_not(None) & messages.c.content_removed_at.is_(None)  # ended
CONTENT_REMOVED = messages.c.content_removed_at.is_not(None)
SETTLED = recipients.c.state != literal_column(f"'{RecipientState.PENDING}'")
FAILED = recipients.c.state == literal_column(f"'{RecipientState.FAILED}'")
CALLERS_MESSAGE_ID = CallersMessageId()
SUPPRESSED = recipients.c.state == literal_column(f"'{RecipientState.SUPPRESSED}'")
PENDING_DELIVERY = webhook_deliveries.c.state == literal_column("'pending'")
FAILED_DELIVERY = webhook_deliveries.c.state == literal_column("'failed'")
EXPIRING_SUPPRESSION = suppressions.c.expires_at.is_not(None)

# The conditions are options of SQLite alone: for one of PostgreSQL SQLAlchemy imports that whole dialect at each start.
# PostgreSQL's indices are made by the migrations; a test compares which of them have a condition.
# `state` is in these two so that SQLite, without statistics, prefers them to messages_by_state.
Index("messages_expiry", messages.c.state, messages.c.expires_at, sqlite_where=WAITING)
Index("messages_leases", messages.c.state, messages.c.lease_until, sqlite_where=ACTIVE)
Index(
    "messages_ready",
    *(messages.c.pool, messages.c.lane, messages.c.turn, messages.c.id),
    sqlite_where=READY,
)
Index(
    "messages_resting",
    *(messages.c.pool, messages.c.due_at, messages.c.id),
    sqlite_where=RESTING,
)
Index(
    "messages_coalescing",
    *(messages.c.key_id, messages.c.coalesce),
    sqlite_where=COALESCING,
)
# For retention: every ended message is in one of these.
Index("messages_stored", messages.c.ended_at, sqlite_where=ENDED_WITH_CONTENT)
Index("messages_emptied", messages.c.ended_at, sqlite_where=CONTENT_REMOVED)
Index("idempotency_by_age", idempotency.c.created_at)
# For lists (see listing.py). A recipient enters these after an attempt, so accepting an email costs no entry.
Index(
    "recipients_to",
    *(func.lower(recipients.c.address), recipients.c.message_id),
    sqlite_where=SETTLED,
)
Index(
    "recipients_failed",
    *(recipients.c.state, recipients.c.message_id),
    sqlite_where=FAILED,
)
Index(
    "recipients_suppressed",
    *(recipients.c.state, recipients.c.message_id),
    sqlite_where=SUPPRESSED,
)
Index(
    "messages_callers_message_id",
    messages.c.message_id,
    sqlite_where=CALLERS_MESSAGE_ID,
)
Index("traces_by_state", traces.c.state, traces.c.message_id)
Index("messages_by_state", messages.c.state, messages.c.id)
Index("messages_of_key", messages.c.key_id, messages.c.id)
Index("turns_last", turns.c.pool, turns.c.lane, turns.c.last)
Index(
    "attempts_of_mailbox",  # open attempts too: ended_at is NULL; the counts of sends read nothing else
    *(attempts.c.mailbox, attempts.c.ended_at, attempts.c.recipients, attempts.c.phase, attempts.c.failure),
)
Index("api_key_secrets_by_handle", api_key_secrets.c.handle)
Index("api_key_secrets_of_key", api_key_secrets.c.key_id)
Index("suppression_candidates_by_age", suppression_candidates.c.at)
Index("suppression_candidates_of_email", suppression_candidates.c.email_id)  # for erasure
Index("suppressions_of_email", suppressions.c.source_id)  # for erasure
Index("suppressions_by_origin", suppressions.c.origin, suppressions.c.id)
Index(
    "suppressions_expiry",
    suppressions.c.expires_at,
    sqlite_where=EXPIRING_SUPPRESSION,
)
Index("webhooks_by_status", webhooks.c.status)
Index("webhook_deliveries_of", webhook_deliveries.c.webhook_id, webhook_deliveries.c.event_id, unique=True)
Index("webhook_deliveries_about", webhook_deliveries.c.subject)  # for erasure
Index(
    "webhook_deliveries_due",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.next_at, webhook_deliveries.c.number),
    sqlite_where=PENDING_DELIVERY,
)
Index(
    "webhook_deliveries_in_line",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.subject, webhook_deliveries.c.number),
    sqlite_where=PENDING_DELIVERY,
)
Index(
    "webhook_deliveries_given_up",
    *(webhook_deliveries.c.webhook_id, webhook_deliveries.c.event_id),
    sqlite_where=FAILED_DELIVERY,
)
