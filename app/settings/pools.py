"""Pools of mailboxes and their senders: completion and validation of [[pools]] in postern.toml.

Without [[pools]] there is one pool, `default`, with the mailbox at top level.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from app.mail.message.address import parse_address
from app.mail.routing import Routes
from app.settings import validators
from app.settings.credential import check_certificate
from app.settings.mailbox import MailboxSettings
from app.settings.message_trace import GraphAppSettings, check_readers, completed
from app.settings.validators import SettingLocation, setting_error, variable

ALONE = "default"  # the pool of the one mailbox
_SINGLE_MAILBOX_SETTINGS = ("mailbox", "senders", "default_sender")


class PoolSettings(GraphAppSettings):
    """A pool: mailboxes that may send as the same senders."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(validators.pool_name)] = Field(
        description="Its name: lower-case letters, digits, `_` and `-`."
    )
    senders: Annotated[tuple[str, ...], BeforeValidator(validators.patterns)] = Field(
        (),
        description="Senders that every mailbox of it may send as, as patterns. By default the mailboxes themselves.",
    )
    default_sender: Annotated[str, AfterValidator(validators.sender)] | None = Field(
        None, description="`From` of a message without one; the first pool that has one counts."
    )
    trace_retry_unseen: bool | None = Field(
        None, description="Whether its emails that Exchange has not seen are sent again; by default as at top level."
    )
    trace: bool | None = Field(None, description="`POSTERN_TRACE` for this pool alone.")
    ndr: bool | None = Field(None, description="`POSTERN_NDR` for this pool alone.")
    mailboxes: tuple[MailboxSettings, ...] = Field(min_length=1, description="`[[pools.mailboxes]]`, at least one.")


Placed: TypeAlias = tuple[MailboxSettings, SettingLocation]


def complete_pools(pools: Sequence[PoolSettings], top: Mapping[str, Any]) -> tuple[PoolSettings, ...]:
    """Return the pools with mailboxes completed from `top`, the other settings. Raises a setting error."""
    if not pools:
        alone = _alone(top)
        check_readers((alone,), ())
        return (alone,)
    for name in _SINGLE_MAILBOX_SETTINGS:
        if top[name]:
            fix = "Move it into a pool, or take [[pools]] out of postern.toml"
            raise setting_error("is given together with [[pools]]", fix, place=variable(name))
    placed = [
        [mailbox.completed(top, f"pools[{i}].mailboxes[{j}]") for j, mailbox in enumerate(pool.mailboxes)]
        for i, pool in enumerate(pools)
    ]
    _check_certificates(pair for row in placed for pair in row)
    whole = tuple(
        _completed_pool(pool, [mailbox for mailbox, _ in row], top) for pool, row in zip(pools, placed, strict=True)
    )
    _check_pools(whole)
    check_readers(whole, pools)
    return whole


def routes(pools: Iterable[PoolSettings]) -> Routes:
    """Return the routing table from senders to pools."""
    return Routes.of((pool.name, pool.senders, pool.default_sender) for pool in pools)


def _alone(top: Mapping[str, Any]) -> PoolSettings:
    if not top["mailbox"]:
        raise setting_error("is missing", "Set it, for example to noreply@contoso.com", place=variable("mailbox"))
    only = MailboxSettings.alone(top)
    _check_certificates([(only, SettingLocation())])
    facts = {"name": ALONE, "senders": top["senders"], "default_sender": top["default_sender"]}
    pool = _completed_pool(PoolSettings.model_construct(**facts), [only], top)
    if _stray(pool, routes([pool])):
        fix = f"Add it to {variable('senders')}, or give one of these"
        raise setting_error(f"{pool.default_sender!r} is not among the senders", fix, place=variable("default_sender"))
    return pool


def _completed_pool(pool: PoolSettings, mailboxes: Sequence[MailboxSettings], top: Mapping[str, Any]) -> PoolSettings:
    senders = pool.senders or tuple(mailbox.mailbox for mailbox in mailboxes)
    return pool.model_copy(update={"mailboxes": tuple(mailboxes), "senders": senders, **completed(pool, top)})


def _check_certificates(placed: Iterable[Placed]) -> None:
    """Open each certificate once, because that can be slow."""
    first: dict[tuple[Any, Any], Placed] = {}
    for mailbox, place in placed:
        first.setdefault((mailbox.client_certificate, mailbox.client_certificate_password), (mailbox, place))
    for mailbox, place in first.values():
        if mailbox.client_certificate is not None:
            check_certificate(mailbox.client_certificate, mailbox.client_certificate_password, place)


def _check_pools(pools: Sequence[PoolSettings]) -> None:
    """Check names, mailboxes and senders across pools."""
    numbered = list(enumerate(pools))
    _check_unique(((pool.name, f"pools[{i}].name") for i, pool in numbered), "Give each pool a name of its own")
    mailboxes = (
        (mailbox.mailbox, f"pools[{i}].mailboxes[{j}].mailbox")
        for i, pool in numbered
        for j, mailbox in enumerate(pool.mailboxes)
    )
    _check_unique(mailboxes, "A mailbox is in one pool, and once: take it out of one of the two places")
    senders = ((sender, f"pools[{i}].senders") for i, pool in numbered for sender in pool.senders)
    _check_unique(
        senders, "A sender has one pool: take it out of one of the two, or give a pattern that is more specific"
    )
    all_ = routes(pools)
    for i, pool in numbered:
        if _stray(pool, all_):
            what = f"{pool.default_sender!r} is not a sender of this pool"
            raise setting_error(
                what, f"Add it to pools[{i}].senders, or give one of these", place=f"pools[{i}].default_sender"
            )


def _check_unique(values: Iterable[tuple[str, str]], fix: str) -> None:
    """Check that no value is in two places."""
    seen: dict[str, str] = {}
    for value, place in values:
        if (first := seen.setdefault(value, place)) != place:
            raise setting_error(f"{value!r} is also in {first}", fix, place=place)


def _stray(pool: PoolSettings, all_: Routes) -> bool:
    """Return whether the default sender of the pool is routed to another pool."""
    return pool.default_sender is not None and all_.route(parse_address(pool.default_sender)) != pool.name
