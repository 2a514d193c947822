"""API keys and audit entries as JSON, for HTTP, the command line and the console; descriptions of a key's members.

Only `KeyWithSecret` contains a secret.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

from typing_extensions import TypedDict

from app.api.http.headers import timestamp
from app.api.openapi.types import Id, Timestamp, describe
from app.mail.message.message import Lane
from app.mail.times import iso
from app.store.keys.audit import AuditAction, AuditRecord
from app.store.keys.records import KeyRecord, Permission

SENDERS = "Patterns of senders: an address, `*@contoso.com`, `*@*.contoso.com` or `*`. Empty: all senders of the pools."
DEFAULT_SENDER = "Sender of an email without `from`."
LANES = "Lanes that the key may use; empty: all. Without `normal`, the first one is the default lane."
RECIPIENTS = "Patterns or domains of allowed recipients; empty: all recipients."
REDIRECT_TO = (
    "One address that receives every email instead of its recipients. The header X-Postern-Original-To lists the "
    "original recipients, and the subject begins with `[redirected]`."
)
SINK = "Emails are accepted and stored as `canceled`, with an explanation, and never relayed."
PER_MINUTE = "Messages in a minute of the clock; null: no limit."
PER_DAY = "Messages in a day (UTC); null: no limit."
RECIPIENTS_PER_MINUTE = "Recipients in a minute of the clock, over all its messages; null: no limit."
RECIPIENTS_PER_DAY = "Recipients in a day (UTC), over all its messages; null: no limit."
BYTES_PER_MINUTE = "Bytes of composed messages in a minute of the clock; null: no limit."
BYTES_PER_DAY = "Bytes of composed messages in a day (UTC); null: no limit."
IGNORE_SUPPRESSIONS = "Lanes whose emails are sent to addresses on the suppression list, too; empty: none."
RETRY_UNSEEN = (
    "Emails that are held with an unknown outcome, and that Exchange's message trace does not contain after "
    "`POSTERN_TRACE_SETTLE_HOURS`, are sent again by themselves."
)
STRICT = "An email with an unknown member is refused with 422; else the member is ignored, with a warning."
DISABLED = "Requests with the key are refused until it is enabled again."


class Used(TypedDict):
    """Current usage, as counted against the limits."""

    this_minute: Annotated[int, describe("Messages.")]
    today: Annotated[int, describe("Messages.")]
    recipients_this_minute: int
    recipients_today: int
    bytes_this_minute: int
    bytes_today: int


class KeyObject(TypedDict):
    """An API key and its policy."""

    object: Literal["key"]
    id: Id
    name: str
    permission: Permission
    senders: Annotated[Sequence[str], describe(SENDERS)]
    default_sender: Annotated[str | None, describe(DEFAULT_SENDER)]
    lanes: Annotated[Sequence[Lane], describe(LANES)]
    recipients: Annotated[Sequence[str], describe(RECIPIENTS)]
    redirect_to: Annotated[str | None, describe(REDIRECT_TO)]
    sink: Annotated[bool, describe(SINK)]
    messages_per_minute: Annotated[int | None, describe(PER_MINUTE)]
    messages_per_day: Annotated[int | None, describe(PER_DAY)]
    recipients_per_minute: Annotated[int | None, describe(RECIPIENTS_PER_MINUTE)]
    recipients_per_day: Annotated[int | None, describe(RECIPIENTS_PER_DAY)]
    bytes_per_minute: Annotated[int | None, describe(BYTES_PER_MINUTE)]
    bytes_per_day: Annotated[int | None, describe(BYTES_PER_DAY)]
    ignore_suppressions: Annotated[Sequence[Lane], describe(IGNORE_SUPPRESSIONS)]
    retry_unseen: Annotated[bool, describe(RETRY_UNSEEN)]
    strict: Annotated[bool, describe(STRICT)]
    disabled: Annotated[bool, describe(DISABLED)]
    created_at: Timestamp
    last_used_at: Annotated[Timestamp | None, describe("Accurate to one minute.")]
    revoked_at: Timestamp | None
    old_secrets_until: Annotated[list[Timestamp], describe("Expiry times of replaced secrets that are still valid.")]
    used: Annotated[Used | None, describe("null without limits.")]


class KeyWithSecret(KeyObject):
    """An API key with its secret, which is returned only once."""

    key: Annotated[str, describe("What callers send as `Authorization: Bearer <key>`. Only its hash is stored.")]


def key_object(record: KeyRecord, now: float) -> KeyObject:
    """Return a key as of `now` (epoch seconds)."""
    key = record.key
    shown = {
        "object": "key",
        "id": str(key.id),
        "name": key.name,
        "permission": key.permission,
        **asdict(key.policy),
        "disabled": key.disabled,
        "created_at": iso(key.created_at),
        "last_used_at": timestamp(record.last_used_at),
        "revoked_at": timestamp(key.revoked_at),
        "old_secrets_until": [iso(until) for until in _endings(record, now)],
        "used": _used(record, now),
    }
    return cast("KeyObject", shown)


def _endings(record: KeyRecord, now: float) -> list[float]:
    return [secret.expires_at for secret in record.secrets if secret.expires_at is not None and secret.expires_at > now]


def _used(record: KeyRecord, now: float) -> Used | None:
    if record.key.policy.rate_limit is None:
        return None
    usage = record.usage.at(now)
    return {
        "this_minute": usage.in_minute.messages,
        "today": usage.in_day.messages,
        "recipients_this_minute": usage.in_minute.recipients,
        "recipients_today": usage.in_day.recipients,
        "bytes_this_minute": usage.in_minute.bytes,
        "bytes_today": usage.in_day.bytes,
    }


class AuditEntry(TypedDict):
    """An administrative change, a cancellation or a refused send."""

    id: Id
    created_at: Timestamp
    action: AuditAction
    subject: Annotated[
        str,
        describe("The changed key, email, mailbox or webhook, or the refused request; of several requests, the first."),
    ]
    actor: Annotated[str, describe("The name of an API key, or `command line`, or `no valid key`.")]
    key_id: Annotated[Id | None, describe("The id of the API key.")]
    request_id: str | None
    details: Annotated[dict[str, Any], describe("Old and new values of a change, or the error of a refusal.")]
    times: Annotated[
        int,
        describe(
            "Number of events. Equal refusals and cancellations of a key are combined into one entry per hour.", ge=1
        ),
    ]
    last_at: Timestamp


def audit_entry(record: AuditRecord) -> AuditEntry:
    """Return an audit entry as JSON, for HTTP and the command line."""
    source = record.entry
    return {
        "id": str(record.id),
        "created_at": iso(source.at),
        "action": source.action,
        "subject": source.subject,
        "actor": source.by.name,
        "key_id": None if source.by.key_id is None else str(source.by.key_id),
        "request_id": source.by.request_id,
        "details": dict(source.details),
        "times": record.times,
        "last_at": iso(record.last_at),
    }
