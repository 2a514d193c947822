"""Settings of the readers of Exchange's message trace and of non-delivery reports in mailboxes.

Both read Microsoft Graph with one app: the pool's own, that of the top level, or, without one, that of the mailbox.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from app.frozen import frozen
from app.settings.credential import (
    CLOUDS,
    ClientId,
    ClientSecret,
    CredentialSettings,
    ReadableFile,
    Secret,
    TenantId,
    check_app,
    check_certificate,
)
from app.settings.mailbox import MailboxSettings
from app.settings.validators import SettingLocation, setting_error

if TYPE_CHECKING:
    from app.settings.pools import PoolSettings

PREFIX = "trace_"
_SWITCHES = ("trace", "ndr", "trace_retry_unseen")
_TRACED_CLOUDS = ("worldwide",)
_REPORTING_CLOUDS = ("worldwide", "gcc-high", "dod")


class GraphAppSettings(BaseModel):
    """Fields of the app registration that reads; those of a login, with a prefix."""

    trace_tenant_id: TenantId | None = Field(
        None,
        description="The Directory (tenant) ID of an app for the message trace and non-delivery reports; by default the"
        " mailboxes' app.",
    )
    trace_client_id: ClientId | None = Field(
        None, description="The Application (client) ID of this app; or that of a user-assigned managed identity."
    )
    trace_client_secret: ClientSecret | None = Field(None, description="The client secret of this app.")
    trace_client_secret_next: ClientSecret | None = Field(
        None, description="A second client secret of this app for the days of a rotation."
    )
    trace_client_certificate: ReadableFile | None = Field(
        None, description="The certificate of this app: path of a PEM or PFX file with its RSA key."
    )
    trace_client_certificate_password: Secret | None = Field(
        None, description="The password of that file, if it has one."
    )
    trace_federated_token_file: ReadableFile | None = Field(
        None, description="Workload identity federation for this app: path of the token file."
    )
    trace_managed_identity: bool = Field(False, description="Read with the managed identity of this machine on Azure.")


APP_FIELDS = tuple(GraphAppSettings.model_fields)


@frozen
class TraceApp:
    """App that reads the trace of a tenant, as the settings of a mailbox, and the pools with its mailboxes."""

    tenant: str
    pools: "tuple[PoolSettings, ...]"
    login: MailboxSettings


@frozen
class ReportMailbox:
    """Mailbox that is read for non-delivery reports, the app that reads, and the sender patterns of the tenant."""

    mailbox: str
    senders: tuple[str, ...]
    login: MailboxSettings


def completed(pool: "PoolSettings", top: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a pool that the top level completes. An app of its own replaces that of the top level."""
    changes = {name: top[name] if getattr(pool, name) is None else getattr(pool, name) for name in _SWITCHES}
    if not _has_app(pool):
        changes |= {name: top[name] for name in APP_FIELDS}
    return changes


def check_readers(pools: Sequence["PoolSettings"], given: Sequence["PoolSettings"]) -> None:
    """Check that there is an app for everything that is read. `given`: the pools before their completion.

    Raises a setting error.
    """
    places = [
        SettingLocation(f"pools[{number}]" if own and _has_app(own) else "", prefix=PREFIX)
        for number, own in enumerate(given or [None])
    ]
    for pool, place in zip(pools, places, strict=True):
        if not pool.trace and not pool.ndr:
            continue
        for mailbox in pool.mailboxes:
            _check_cloud(pool, mailbox)
        if _has_app(pool):
            _check_credential(pool, place)
            continue
        password = next((mailbox.mailbox for mailbox in pool.mailboxes if mailbox.password), None)
        if password is not None:
            names = [place.short_name(name) for name in ("tenant_id", "client_id", "client_secret")]
            what = f"is true, and {password} has no app to read with"
            fix = f"Set {names[0]}, {names[1]} and {names[2]}"
            raise setting_error(what, fix, place=SettingLocation().full_name("trace" if pool.trace else "ndr"))


def trace_apps(pools: Iterable["PoolSettings"]) -> list[TraceApp]:
    """Return one app for each tenant whose trace is read: that of its first pool."""
    found: dict[str, dict[str, PoolSettings]] = {}
    logins: dict[str, MailboxSettings] = {}
    for pool in pools:
        for mailbox in pool.mailboxes if pool.trace else ():
            tenant = _tenant(pool, mailbox)
            found.setdefault(tenant, {})[pool.name] = pool
            logins.setdefault(tenant, _login(pool, mailbox))
    return [TraceApp(tenant, tuple(found[tenant].values()), login) for tenant, login in logins.items()]


def report_mailboxes(pools: Sequence["PoolSettings"]) -> list[ReportMailbox]:
    """Return the mailboxes that are read for non-delivery reports."""
    senders = _senders(pools)
    return [
        ReportMailbox(mailbox.mailbox, senders[_tenant(pool, mailbox)], _login(pool, mailbox))
        for pool in pools
        if pool.ndr
        for mailbox in pool.mailboxes
    ]


def _check_cloud(pool: "PoolSettings", mailbox: MailboxSettings) -> None:
    for name, clouds, what in (
        ("trace", _TRACED_CLOUDS, "message trace"),
        ("ndr", _REPORTING_CLOUDS, "delta query of messages"),
    ):
        if getattr(pool, name) and mailbox.cloud not in clouds and mailbox.graph_url == CLOUDS[mailbox.cloud].graph_url:
            sentence = f"is true, and the cloud {mailbox.cloud} has no {what} in Microsoft Graph"
            raise setting_error(sentence, "Set it to false", place=SettingLocation().full_name(name))


def _check_credential(pool: "PoolSettings", place: SettingLocation) -> None:
    given = _credential(pool)
    check_app(given, place)
    if given.client_certificate is not None:
        check_certificate(given.client_certificate, given.client_certificate_password, place)


def _has_app(settings: GraphAppSettings) -> bool:
    return any(getattr(settings, name) for name in APP_FIELDS)


def _credential(settings: GraphAppSettings) -> CredentialSettings:
    """Return the credential of the app, which has values of the top level without validation."""
    return CredentialSettings.model_construct(
        **{name.removeprefix(PREFIX): getattr(settings, name) for name in APP_FIELDS}
    )


def _tenant(pool: "PoolSettings", mailbox: MailboxSettings) -> str:
    return pool.trace_tenant_id or mailbox.tenant_id or "managed identity"


def _senders(pools: Iterable["PoolSettings"]) -> dict[str, tuple[str, ...]]:
    """Return the sender patterns of each tenant."""
    found: dict[str, tuple[str, ...]] = {}
    for pool in pools:
        for tenant in {_tenant(pool, mailbox): None for mailbox in pool.mailboxes}:
            found[tenant] = (*found.get(tenant, ()), *pool.senders)
    return found


def _login(pool: "PoolSettings", mailbox: MailboxSettings) -> MailboxSettings:
    changes: dict[str, Any] = {"token_scope": f"{mailbox.graph_url}/.default"}
    if _has_app(pool):
        changes |= {"password": None, **{name.removeprefix(PREFIX): getattr(pool, name) for name in APP_FIELDS}}
    return mailbox.model_copy(update=changes)
