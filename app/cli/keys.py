"""Commands `postern keys`: create, list, change, rotate and revoke API keys."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import typer

from app.api.api_keys.view import key_object
from app.api.auth.authenticator import DEFAULT_OVERLAP, MAX_OVERLAP, digest, new_key
from app.cli.exit_codes import Exit, end
from app.cli.output.terminal import console, print_members, print_rows, styled
from app.cli.output.text import AsJson, print_line
from app.cli.store_access import ACTOR, database_location, with_store
from app.clock import Clock
from app.mail import key_policy
from app.mail.key_policy import Policy, PolicyError
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation, Permission

T = TypeVar("T")

commands = typer.Typer(no_args_is_help=True)
_COLUMNS = ("id", "name", "permission", "limits", "last_used_at", "state")
_SECRET_NOTICE = "Store it now: it is not shown again. Callers send it as: Authorization: Bearer <key>"  # noqa: S105

Id = Annotated[UUID, typer.Argument(help="Id of the key, from `postern keys list`.")]
PermissionOption = Annotated[
    Permission | None, typer.Option("--permission", help="Permission; sending_access by default.")
]
Senders = Annotated[
    str | None, typer.Option(help="Allowed sender patterns, separated by commas; all senders of the pools by default.")
]
DefaultSender = Annotated[str | None, typer.Option(help="Sender of emails without `from`.")]
Lanes = Annotated[str | None, typer.Option(help="Allowed lanes, separated by commas; all by default.")]
Recipients = Annotated[
    str | None,
    typer.Option(help="Allowed recipients: domains, addresses and patterns, separated by commas; all by default."),
]
RedirectTo = Annotated[str | None, typer.Option(help="Address that receives all emails instead of their recipients.")]
Sink = Annotated[bool | None, typer.Option("--sink/--no-sink", help="Accept and store emails, but never send them.")]
PerMinute = Annotated[int | None, typer.Option(min=0, help="Emails a minute; 0: no limit.")]
PerDay = Annotated[int | None, typer.Option(min=0, help="Emails a day (UTC); 0: no limit.")]
RecipientsPerMinute = Annotated[int | None, typer.Option(min=0, help="Recipients a minute; 0: no limit.")]
RecipientsPerDay = Annotated[int | None, typer.Option(min=0, help="Recipients a day (UTC); 0: no limit.")]
BytesPerMinute = Annotated[int | None, typer.Option(min=0, help="Bytes of composed messages a minute; 0: no limit.")]
BytesPerDay = Annotated[int | None, typer.Option(min=0, help="Bytes of composed messages a day (UTC); 0: no limit.")]
IgnoreSuppressions = Annotated[
    str | None,
    typer.Option(
        help="Lanes whose emails are sent to suppressed addresses, too, separated by commas; none by default."
    ),
]

RetryUnseen = Annotated[
    bool | None,
    typer.Option(
        "--retry-unseen/--no-retry-unseen",
        help="Send held emails again that Exchange's message trace does not contain.",
    ),
]
Strict = Annotated[
    bool | None, typer.Option("--strict/--no-strict", help="Refuse emails with unknown members instead of a warning.")
]


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, such as `shop`.")],
    permission: PermissionOption = None,
    senders: Senders = None,
    default_sender: DefaultSender = None,
    lanes: Lanes = None,
    recipients: Recipients = None,
    redirect_to: RedirectTo = None,
    sink: Sink = None,
    per_minute: PerMinute = None,
    per_day: PerDay = None,
    recipients_per_minute: RecipientsPerMinute = None,
    recipients_per_day: RecipientsPerDay = None,
    bytes_per_minute: BytesPerMinute = None,
    bytes_per_day: BytesPerDay = None,
    ignore_suppressions: IgnoreSuppressions = None,
    retry_unseen: RetryUnseen = None,
    strict: Strict = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its secret is shown once, and stored only as a hash."""
    limits = (per_minute, per_day, recipients_per_minute, recipients_per_day, bytes_per_minute, bytes_per_day)
    options = (ignore_suppressions, retry_unseen, strict)
    restrictions = _policy(senders, default_sender, lanes, recipients, redirect_to, sink, *limits, *options)
    name = _read("NAME", key_policy.name, name)
    policy = _read("policy", key_policy.validate, Policy(**restrictions))
    key = Key(uuid4(), name, permission or Permission.SENDING_ACCESS, Clock().now(), policy)
    secret = new_key()
    with_store(lambda store: store.create_key(key, digest(secret), ACTOR), create=True)
    _print_secret(key.id, secret, as_json)


@commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    records = with_store(lambda store: store.keys())
    rows = [_object(record) if as_json else _row(record) for record in records]
    print_rows(rows, _COLUMNS, as_json, none="No keys yet: postern keys create NAME")


@commands.command("show")
def show_(id: Id, as_json: AsJson = False) -> None:
    """Show one key: its policy, its usage, and the end of its old secrets."""
    record = with_store(lambda store: store.key(id))
    if record is None:
        raise _not_found(id)
    if as_json:
        print_rows([_object(record)], _COLUMNS, True, none="")
        return
    row = _row(record)
    names = (*_COLUMNS, "created_at", "revoked_at", "old_secrets_until", "used")
    print_members({name.replace("_", " "): row[name] or "-" for name in names})


@commands.command()
def update(
    id: Id,
    name: Annotated[str | None, typer.Option(help="New name of the key.")] = None,
    permission: PermissionOption = None,
    senders: Senders = None,
    default_sender: DefaultSender = None,
    lanes: Lanes = None,
    recipients: Recipients = None,
    redirect_to: RedirectTo = None,
    sink: Sink = None,
    per_minute: PerMinute = None,
    per_day: PerDay = None,
    recipients_per_minute: RecipientsPerMinute = None,
    recipients_per_day: RecipientsPerDay = None,
    bytes_per_minute: BytesPerMinute = None,
    bytes_per_day: BytesPerDay = None,
    ignore_suppressions: IgnoreSuppressions = None,
    retry_unseen: RetryUnseen = None,
    strict: Strict = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Refuse the key until it is enabled again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a key. Options that are not given stay as they are; an empty value ("") removes a limit."""
    limits = (per_minute, per_day, recipients_per_minute, recipients_per_day, bytes_per_minute, bytes_per_day)
    options = (ignore_suppressions, retry_unseen, strict)
    changes = _policy(senders, default_sender, lanes, recipients, redirect_to, sink, *limits, *options)
    others = {"name": name and _read("--name", key_policy.name, name), "permission": permission, "disabled": disabled}
    changes |= {member: value for member, value in others.items() if value is not None}
    revision = KeyRevision(id, changes, Clock().now(), ACTOR)
    if _read("policy", lambda revision: with_store(lambda store: store.revise_key(revision)), revision) is None:
        raise _not_found(id)
    _print_change(id, f"updated {id}", as_json)


@commands.command()
def rotate(
    id: Id,
    overlap: Annotated[
        int, typer.Option(min=0, max=MAX_OVERLAP, help="Seconds for which the old secret still works.")
    ] = DEFAULT_OVERLAP,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret, which is shown once. The old secret works during the overlap."""
    secret, now = new_key(), Clock().now()
    if not with_store(lambda store: store.rotate_key(KeyRotation(id, digest(secret), now, now + overlap, ACTOR))):
        raise _not_found(id, "that is in use")
    _print_secret(id, secret, as_json)


@commands.command()
def revoke(id: Id, as_json: AsJson = False) -> None:
    """Revoke a key permanently. Emails that it has sent remain."""
    if not with_store(lambda store: store.revoke_key(id, Clock().now(), ACTOR)):
        raise _not_found(id, "that is not revoked already")
    _print_change(id, f"revoked {id}", as_json)


def _print_change(id: UUID, done: str, as_json: bool) -> None:
    """Print that the key was changed, or the key as JSON."""
    if as_json:
        show_(id, as_json=True)
    else:
        print_line(done)


def _items(text: str) -> list[str]:
    return [item for item in text.split(",") if item.strip()]


def _item_limit(number: int) -> int | None:
    return key_policy.item_limit(number) if number else None


def _byte_limit(number: int) -> int | None:
    return key_policy.byte_limit(number) if number else None


# By field of Policy. An empty value removes a restriction.
_RULES: Mapping[str, Callable[[Any], Any]] = {
    "senders": lambda text: key_policy.senders(_items(text)),
    "default_sender": lambda text: key_policy.default_sender(text) if text.strip() else None,
    "lanes": lambda text: key_policy.lanes(_items(text)),
    "recipients": lambda text: key_policy.recipients(_items(text)),
    "redirect_to": lambda text: key_policy.redirect_to(text) if text.strip() else None,
    "sink": bool,
    "messages_per_minute": _item_limit,
    "messages_per_day": _item_limit,
    "recipients_per_minute": _item_limit,
    "recipients_per_day": _item_limit,
    "bytes_per_minute": _byte_limit,
    "bytes_per_day": _byte_limit,
    "ignore_suppressions": lambda text: key_policy.lanes(_items(text)),
    "retry_unseen": bool,
    "strict": bool,
}


def _policy(*values: str | int | bool | None) -> dict[str, Any]:
    """Return the given fields of a policy; `values` are in the order of `_RULES`, None if not given."""
    return {
        name: _read(_option(name), rule, value)
        for (name, rule), value in zip(_RULES.items(), values, strict=True)
        if value is not None
    }


def _option(name: str) -> str:
    return "--" + name.removeprefix("messages_").replace("_", "-")


def _read(option: str, rule: Callable[[Any], T], value: Any) -> T:
    try:
        return rule(value)
    except PolicyError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _print_secret(id: UUID, secret: str, as_json: bool) -> None:
    record = with_store(lambda store: store.key(id))
    if as_json and record:
        print_rows([{**_object(record), "key": secret}], _COLUMNS, True, none="")
    else:
        console.print(styled((secret, "bold")), soft_wrap=True)
        console.print(_SECRET_NOTICE)
        database, setting = database_location()
        print_line(f"For `postern send`: export POSTERN_API_KEY={secret}")
        print_line(f"The key is in the database {database} ({setting} decides): `postern serve` must use the same.")


def _not_found(id: UUID, condition: str = "") -> typer.Exit:
    return end(Exit.FAILED, f"there is no key {id}{condition and f' {condition}'}; see: postern keys list")


def _object(record: KeyRecord) -> dict[str, Any]:
    return {**key_object(record, Clock().now())}


def _row(record: KeyRecord) -> dict[str, Any]:
    """Return the row of a table, with only those limits that are set."""
    key = record.key
    state = "revoked" if key.revoked_at else "disabled" if key.disabled else "in use"
    policy = asdict(key.policy).items()
    limits = [f"{name.replace('_', ' ')}: {_format(value)}" for name, value in policy if value not in ((), None, False)]
    return {**_object(record), "state": state, "limits": limits}


def _format(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower() if value is True else str(value)
