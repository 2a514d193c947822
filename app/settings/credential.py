"""Credentials of a mailbox: a password, or OAuth 2.0 with one of four client credentials; and Microsoft's clouds."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, WrapValidator, model_validator

from app.settings import validators
from app.settings.sources import FileSecret
from app.settings.validators import SettingLocation, setting_error
from app.smtp.auth.credentials import CertificateError

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DOMAIN = re.compile(r"([a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}", re.IGNORECASE)
_ENTRA = "https://entra.microsoft.com"
LOGIN_METHODS = ("password", "client_secret", "client_certificate", "federated_token_file", "managed_identity")
METHOD_OPTIONS = ("client_secret_next", "client_certificate_password")
_APP_IDS = ("tenant_id", "client_id")
_MULTI_TENANT = frozenset({"common", "organizations", "consumers"})


class Cloud(NamedTuple):
    """One of Microsoft's clouds: submission host, authority, scope of an app's token, address of Microsoft Graph.

    `message_trace` is the page in the Exchange admin center; "": it is not known.
    """

    smtp_host: str
    authority: str
    token_scope: str
    graph_url: str
    message_trace: str = ""


# EmailEngine lib/oauth2-apps.js and lib/oauth/outlook.js (2026-08-22), sasl-xoauth2 README, fluent-plugin-mail #44;
# https://learn.microsoft.com/graph/deployments (Microsoft Graph and Graph Explorer service root endpoints).
# Message trace: Microsoft Learn, Message trace in the new EAC; Exchange Team Blog, the new EAC for GCC High.
CLOUDS = {
    "worldwide": Cloud(
        "smtp.office365.com",
        "https://login.microsoftonline.com",
        "https://outlook.office365.com/.default",
        "https://graph.microsoft.com",
        "https://admin.exchange.microsoft.com/#/messagetrace",
    ),
    "gcc-high": Cloud(
        "smtp.office365.us",
        "https://login.microsoftonline.us",
        "https://outlook.office365.us/.default",
        "https://graph.microsoft.us",
        "https://admin.exchange.office365.us/#/messagetrace",
    ),
    "dod": Cloud(
        "outlook-dod.office365.us",
        "https://login.microsoftonline.us",
        "https://outlook.office365.us/.default",
        "https://dod-graph.microsoft.us",
    ),
    "china": Cloud(
        "smtp.partner.outlook.cn",
        "https://login.partner.microsoftonline.cn",
        "https://partner.outlook.cn/.default",
        "https://microsoftgraph.chinacloudapi.cn",
    ),
}
_WORLDWIDE = CLOUDS["worldwide"]


def _tenant(value: str) -> str:
    """Return the Directory (tenant) ID. Raises a setting error."""
    if _GUID.fullmatch(value) or _DOMAIN.fullmatch(value):
        return value
    what = "is for users of any organization" if value.lower() in _MULTI_TENANT else "is neither an id nor a domain"
    raise setting_error(what, "Give the Directory (tenant) ID of the app's Overview at " + _ENTRA)


def _client(value: str) -> str:
    """Return the Application (client) ID. Raises a setting error."""
    if _GUID.fullmatch(value):
        return value
    raise setting_error("is no id", "Give the Application (client) ID of the app's Overview at " + _ENTRA)


def _client_secret(value: SecretStr) -> SecretStr:
    """Refuse the secret's id, which Entra ID shows in the column beside the secret."""
    if _GUID.fullmatch(value.get_secret_value()):
        raise setting_error("is the secret's id", "Give its Value, which is shown only once, when it is made")
    return value


def _readable(value: Path) -> Path:
    if "-----BEGIN" in str(value):  # checked first: some systems report a path that is too long, with its text
        raise setting_error("holds the certificate itself", "Give the path of the file here, without _FILE", hide=True)
    if not os.path.isfile(value):  # False also for a value that cannot be a path
        raise setting_error("is not a file that can be read", "Give the path of the file, readable for Postern's user")
    return value


def _authority(value: str) -> str:
    return _base_url(value, "is not an authority", _WORLDWIDE.authority)


def _graph(value: str) -> str:
    return _base_url(value, "is not the address of Microsoft Graph", _WORLDWIDE.graph_url)


def _base_url(value: str, what: str, example: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.username is not None:
        raise setting_error(what, f"Give https:// and the host alone: {example}")
    return value.rstrip("/")


def _scope(value: str) -> str:
    if urlsplit(value).hostname == "graph.microsoft.com":
        raise setting_error(
            "is for Microsoft Graph, and Exchange refuses such a token", f"Give {_WORLDWIDE.token_scope}"
        )
    if not value.startswith("https://") or not value.endswith("/.default"):
        raise setting_error("is no scope for an app", f"Give one that ends with /.default: {_WORLDWIDE.token_scope}")
    return value


def _kept(value: Any, validate: Any) -> Any:
    """Return a FileSecret unchanged; pydantic would make a SecretStr without the path."""
    return value if isinstance(value, FileSecret) else validate(value)


Secret = Annotated[SecretStr, WrapValidator(_kept)]
ClientSecret = Annotated[Secret, AfterValidator(_client_secret)]
TenantId = Annotated[str, AfterValidator(_tenant)]
ClientId = Annotated[str, AfterValidator(_client)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]


class CredentialSettings(BaseModel):
    """Fields for the login of one mailbox."""

    password: Secret | None = Field(None, description="Its password or App Password (AUTH LOGIN).")
    tenant_id: TenantId | None = Field(None, description="OAuth 2.0: the Directory (tenant) ID.")
    client_id: ClientId | None = Field(
        None, description="OAuth 2.0: the app's Application (client) ID; or that of a user-assigned managed identity."
    )
    client_secret: ClientSecret | None = Field(
        None, description="OAuth 2.0 by a client secret: its Value. From a file, it is read again when it changes."
    )
    client_secret_next: ClientSecret | None = Field(
        None, description="A second client secret for the days of a rotation: used when the first is refused."
    )
    client_certificate: ReadableFile | None = Field(
        None,
        description="OAuth 2.0 by a certificate: path of a PEM or PFX file with its RSA key, read again at each use.",
    )
    client_certificate_password: Secret | None = Field(None, description="The password of that file, if it has one.")
    federated_token_file: ReadableFile | None = Field(
        None, description="OAuth 2.0 by workload identity federation: path of the token file, read again at each use."
    )
    managed_identity: bool = Field(False, description="OAuth 2.0 by the managed identity of this machine on Azure.")
    cloud: Literal["worldwide", "gcc-high", "dod", "china"] = Field(
        "worldwide", description="Microsoft's cloud: `worldwide` (also GCC), `gcc-high`, `dod` or `china`."
    )
    authority: Annotated[str, AfterValidator(_authority)] = Field(
        _WORLDWIDE.authority, description="Authority that issues the tokens; by default as `POSTERN_CLOUD` says."
    )
    token_scope: Annotated[str, AfterValidator(_scope)] = Field(
        _WORLDWIDE.token_scope, description="Scope of the tokens; by default as `POSTERN_CLOUD` says."
    )
    graph_url: Annotated[str, AfterValidator(_graph)] = Field(
        _WORLDWIDE.graph_url, description="Address of Microsoft Graph; by default as `POSTERN_CLOUD` says."
    )
    token_ca_file: Annotated[Path, AfterValidator(validators.ca_file)] | None = Field(
        None, description="PEM file with the CA to trust at the token endpoint instead of the usual ones."
    )

    @model_validator(mode="before")
    @classmethod
    def _add_cloud_values(cls, given: Any) -> Any:
        """Add the values of the cloud for settings that are not given."""
        cloud = CLOUDS.get(given.get("cloud", "")) if isinstance(given, dict) else None
        if cloud is None:
            return given
        return {**{name: value for name, value in cloud._asdict().items() if name in cls.model_fields}, **given}


def check_login(given: CredentialSettings, place: SettingLocation) -> None:
    """Check that exactly one login method is given, and completely. Raises a setting error."""
    methods = [name for name in LOGIN_METHODS if getattr(given, name)]
    _check_one_method(methods, [name for name in _APP_IDS if getattr(given, name)], place)
    _check_app(given, methods, place)


def check_app(given: CredentialSettings, place: SettingLocation) -> None:
    """Check that the credential of an app registration, without a mailbox, is complete. Raises a setting error."""
    methods = [name for name in LOGIN_METHODS if getattr(given, name)]
    _check_one_method(methods, ["client_id"], place)
    _check_app(given, methods, place)


def _check_app(given: CredentialSettings, methods: list[str], place: SettingLocation) -> None:
    if methods[0] in ("client_secret", "client_certificate", "federated_token_file"):
        _need(given, "tenant_id", "Set it to the Directory (tenant) ID of the app's Overview at " + _ENTRA, place)
        _need(given, "client_id", "Set it to the Application (client) ID of the app's Overview at " + _ENTRA, place)
    _only_with(given, "client_secret_next", "client_secret", place)
    _only_with(given, "client_certificate_password", "client_certificate", place)


def check_certificate(path: Path, password: SecretStr | None, place: SettingLocation) -> None:
    """Check that the certificate can be read. Raises a setting error."""
    from app.smtp.auth.client_certificate import ClientCertificate  # noqa: PLC0415 - it imports cryptography

    try:
        ClientCertificate.load(path.read_bytes(), password.get_secret_value() if password else None)
    except OSError as error:
        what, fix = f"{str(path)!r} cannot be read: {error.strerror}", "Let Postern's user read it"
        raise setting_error(what, fix, place=place.full_name("client_certificate")) from None
    except CertificateError as error:
        what, fix = f"{str(path)!r} {error}", "Give a PEM or PFX file with the certificate and its RSA key"
        raise setting_error(what, fix, place=place.full_name("client_certificate")) from None


def _check_one_method(methods: list[str], app: list[str], place: SettingLocation) -> None:
    """Check that there is one login method. `app`: given settings of an app registration, for OAuth only."""
    called = place.short_name
    if app and not methods:
        first, second, third = map(called, ("client_certificate", "federated_token_file", "managed_identity"))
        raise setting_error(
            "is missing", f"Set it, or {first}, {second} or {third}=true", place=place.full_name("client_secret")
        )
    if not methods:
        fix = f"Set it to the mailbox's password or App Password, or set {called('tenant_id')}, "
        fix += f"{called('client_id')} and {called('client_secret')} for OAuth 2.0"
        raise setting_error("is missing", fix, place=place.full_name("password"))
    both = methods + app if methods[0] == "password" else methods
    if len(both) > 1:
        raise setting_error(
            f"is given together with {called(methods[0])}", "Keep one of them", place=place.full_name(both[1])
        )


def _need(given: CredentialSettings, name: str, fix: str, place: SettingLocation) -> None:
    if not getattr(given, name):
        raise setting_error("is missing", fix, place=place.full_name(name))


def _only_with(given: CredentialSettings, name: str, other: str, place: SettingLocation) -> None:
    if getattr(given, name) and not getattr(given, other):
        what = f"is given without {place.short_name(other)}"
        raise setting_error(what, "Set that one too, or take this one out", place=place.full_name(name))
