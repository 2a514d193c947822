"""Commands `postern keys`: create, list, change, rotate and revoke API keys."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple, TypeVar
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
F = TypeVar("F", bound=Callable[..., Any])

commands = typer.Typer(no_args_is_help=True)
_COLUMNS = ("id", "name", "permission", "limits", "last_used_at", "state")
_SECRET_NOTICE = "Store it now: it is not shown again. Callers send it as: Authorization: Bearer <key>"  # noqa: S105

Id = Annotated[UUID, typer.Argument(help="Id of the key, from `postern keys list`.")]
PermissionOption = Annotated[
    Permission | None, typer.Option("--permission", help="Permission; sending_access by default.")
]


class _PolicyOption(NamedTuple):
    """Option of a member of a policy: the rule for its value, its type and its help."""

    rule: Callable[[Any], Any]
    type: type[str | int | bool]
    help: str


def _list(rule: Callable[[list[str]], Any]) -> Callable[[str], Any]:
    return lambda text: rule([item for item in text.split(",") if item.strip()])


def _optional(rule: Callable[[Any], Any]) -> Callable[[str | int], Any]:
    """Return the rule for a value that removes the restriction if it is blank or 0."""
    return lambda value: rule(value) if value and str(value).strip() else None


# By field of Policy. An empty value removes a restriction.
_POLICY_OPTIONS: Mapping[str, _PolicyOption] = {
    "senders": _PolicyOption(
        _list(key_policy.senders),
        str,
        "Allowed sender patterns, separated by commas; all senders of the pools by default.",
    ),
    "default_sender": _PolicyOption(_optional(key_policy.default_sender), str, "Sender of emails without `from`."),
    "lanes": _PolicyOption(_list(key_policy.lanes), str, "Allowed lanes, separated by commas; all by default."),
    "recipients": _PolicyOption(
        _list(key_policy.recipients),
        str,
        "Allowed recipients: domains, addresses and patterns, separated by commas; all by default.",
    ),
    "redirect_to": _PolicyOption(
        _optional(key_policy.redirect_to), str, "Address that receives all emails instead of their recipients."
    ),
    "sink": _PolicyOption(bool, bool, "Accept and store emails, but never send them."),
    **{
        f"{amount}_per_{window}": _PolicyOption(_optional(rule), int, f"{what} a {period}; 0: no limit.")
        for amount, what, rule in (
            ("messages", "Emails", key_policy.item_limit),
            ("recipients", "Recipients", key_policy.item_limit),
            ("bytes", "Bytes of composed messages", key_policy.byte_limit),
        )
        for window, period in (("minute", "minute"), ("day", "day (UTC)"))
    },
    "ignore_suppressions": _PolicyOption(
        _list(key_policy.lanes),
        str,
        "Lanes whose emails are sent to suppressed addresses, too, separated by commas; none by default.",
    ),
    "retry_unseen": _PolicyOption(bool, bool, "Send held emails again that Exchange's message trace does not contain."),
    "strict": _PolicyOption(bool, bool, "Refuse emails with unknown members instead of a warning."),
}


def _option(name: str) -> str:
    return "--" + name.removeprefix("messages_").replace("_", "-")


def _with_policy_options(command: F) -> F:
    """Add the options of a policy to a command, before its keyword-only ones. It gets their values by field."""
    own = [one for one in inspect.signature(command).parameters.values() if one.kind is not one.VAR_KEYWORD]
    first = next(place for place, one in enumerate(own) if one.kind is one.KEYWORD_ONLY)
    options = [_parameter(name, option) for name, option in _POLICY_OPTIONS.items()]
    vars(command)["__signature__"] = inspect.Signature([*own[:first], *options, *own[first:]])
    return command


def _parameter(name: str, option: _PolicyOption) -> inspect.Parameter:
    flag = _option(name)
    shown = typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if option.type is bool else flag,
        min=0 if option.type is int else None,
        help=option.help,
    )
    optional: Any = option.type | None
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[optional, shown])


@commands.command()
@_with_policy_options
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, such as `shop`.")],
    permission: PermissionOption = None,
    *,
    as_json: AsJson = False,
    **policy: Any,
) -> None:
    """Create a key. Its secret is shown once, and stored only as a hash."""
    restrictions = _given(policy)
    name = _read("NAME", key_policy.name, name)
    valid = _read("policy", key_policy.validate, Policy(**restrictions))
    key = Key(uuid4(), name, permission or Permission.SENDING_ACCESS, Clock().now(), valid)
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
@_with_policy_options
def update(
    id: Id,
    name: Annotated[str | None, typer.Option(help="New name of the key.")] = None,
    permission: PermissionOption = None,
    *,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Refuse the key until it is enabled again.")
    ] = None,
    as_json: AsJson = False,
    **policy: Any,
) -> None:
    """Change a key. Options that are not given stay as they are; an empty value ("") removes a limit."""
    changes = _given(policy)
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


def _given(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the valid fields of a policy whose options are given."""
    return {
        name: _read(_option(name), _POLICY_OPTIONS[name].rule, value)
        for name, value in policy.items()
        if value is not None
    }


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
