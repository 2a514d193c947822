"""Settings of the reader of Exchange's message trace: the apps that read, one for each tenant."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from app.frozen import frozen
from app.settings.location import variable
from app.settings.mailbox import MailboxSettings
from app.settings.pools import PoolSettings
from app.settings.validators import setting_error

GRAPH = "https://graph.microsoft.com"
_LOGIN = ("password", "client_secret_next", "client_certificate", "client_certificate_password", "federated_token_file")


@frozen
class TraceApp:
    """App that reads the trace of a tenant, as the settings of a mailbox, and the pools with its mailboxes."""

    tenant: str
    pools: tuple[PoolSettings, ...]
    login: MailboxSettings


def check_graph_url(value: str) -> str:
    """Return the base address of Microsoft Graph without a slash at its end. Raises a setting error."""
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.username is not None:
        raise setting_error(None, "is not the address of Microsoft Graph", f"Give https:// and the host alone: {GRAPH}")
    return value.rstrip("/")


def check_trace(pools: Iterable[PoolSettings], top: Mapping[str, Any]) -> None:
    """Check that every tenant has an app that can read its trace. Raises a setting error."""
    if not top["trace"]:
        return
    if top["cloud"] != "worldwide" and top["graph_url"] == GRAPH:
        what = f"is true, and the cloud {top['cloud']} has no message trace in Microsoft Graph"
        raise setting_error(variable("trace"), what, "Set it to false")
    given = [name for name in ("trace_tenant_id", "trace_client_id", "trace_client_secret") if top[name]]
    missing = [name for name in ("trace_tenant_id", "trace_client_id", "trace_client_secret") if name not in given]
    if given and missing:
        raise setting_error(variable(missing[0]), "is missing", f"Set it, or take {variable(given[0])} out")
    passwords = [one.mailbox for pool in pools for one in pool.mailboxes if one.password]
    if not given and passwords:
        fix = "Set POSTERN_TRACE_TENANT_ID, POSTERN_TRACE_CLIENT_ID and POSTERN_TRACE_CLIENT_SECRET"
        raise setting_error(variable("trace"), f"is true, and {passwords[0]} has no app to read the trace with", fix)


def trace_apps(pools: Iterable[PoolSettings], top: Any) -> list[TraceApp]:
    """Return one app for each tenant: that of POSTERN_TRACE_CLIENT_ID, or those of the mailboxes."""
    found: dict[str, dict[str, PoolSettings]] = {}
    logins: dict[str, MailboxSettings] = {}
    for pool in pools:
        for one in pool.mailboxes:
            tenant = top.trace_tenant_id or one.tenant_id or "managed identity"
            found.setdefault(tenant, {})[pool.name] = pool
            logins.setdefault(tenant, _login(one, top))
    return [TraceApp(tenant, tuple(found[tenant].values()), login) for tenant, login in logins.items()]


def _login(one: MailboxSettings, top: Any) -> MailboxSettings:
    changes: dict[str, Any] = {"token_scope": f"{top.graph_url}/.default"}
    if top.trace_client_id:
        changes |= dict.fromkeys(_LOGIN) | {
            "managed_identity": False,
            "tenant_id": top.trace_tenant_id,
            "client_id": top.trace_client_id,
            "client_secret": top.trace_client_secret,
        }
    return one.model_copy(update=changes)
