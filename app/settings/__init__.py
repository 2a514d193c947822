"""Settings: the environment (POSTERN_*), secret files (POSTERN_*_FILE) and postern.toml, as frozen checked values.

Read by main and the command line only. A wrong setting raises SettingsError: one line with the variable, the fault and
the fix, never with the value of a secret.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.mail.routing import Routes
from app.operator_errors import ConfigurationError
from app.secret_text import strip
from app.settings import validators
from app.settings.mailbox import MailboxSettings
from app.settings.message_trace import GraphAppSettings
from app.settings.pools import PoolSettings, complete_pools, routes
from app.settings.sources import (
    CONFIG,
    FileSecret,
    SourceError,
    check_names,
    check_secret,
    from_environment,
    from_file,
    given,
    secrets,
)
from app.settings.validators import PREFIX

__all__ = [
    "CallerSettings",
    "FileSecret",
    "MailboxSettings",
    "PoolSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "caller_key",
    "load",
]

MIB = 1024 * 1024


class SettingsError(ConfigurationError):
    """Invalid settings. The message is one line: the variable, the error, the fix."""


class _Sourced(BaseSettings):
    """Settings from the three sources."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        fields = settings_cls.model_fields
        environment, file = from_environment(env_settings(), fields), from_file(fields)
        return init_settings, InitSettingsSource(settings_cls, environment), InitSettingsSource(settings_cls, file)


class CallerSettings(_Sourced):
    """Settings of a caller: `postern send`."""

    api_key: Annotated[SecretStr, AfterValidator(validators.api_key)] | None = None


class StoreSettings(_Sourced):
    """Settings of the commands that only read or change the store."""

    data_dir: Path = Field(Path("data"), description="Folder of the embedded database.")
    database_url: Annotated[str, AfterValidator(validators.database_url)] = Field(
        "",
        description="`postgresql://user:password@host/name`, or `sqlite:///file`; "
        "by default `postern.db` in `POSTERN_DATA_DIR`.",
        repr=False,
    )
    log_format: Literal["auto", "human", "json"] = Field("auto", description="`human`, `json`, or by the terminal.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of log lines.")
    log_addresses: Literal["full", "masked"] = Field(
        "full", description="`masked`: log lines hide addresses before their `@`, except those of the mailboxes."
    )

    @property
    def store_url(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'postern.db'}"


class Settings(StoreSettings, MailboxSettings, GraphAppSettings):
    """Settings of `postern serve`. Its mailboxes are those of `pools`, which is never empty."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    role: Literal["all", "api", "relay"] = Field(
        "all",
        description="`all`; or `api` (accepts, never relays) and `relay` (relays, no API), both on PostgreSQL only.",
    )
    mailbox: Annotated[str, AfterValidator(validators.mailbox)] = Field(
        "", validate_default=False, description="The Office 365 mailbox that sends, such as `noreply@contoso.com`."
    )
    senders: Annotated[tuple[str, ...], NoDecode, BeforeValidator(validators.patterns)] = Field(
        (), description="Senders it may send as, as patterns with commas: `*@contoso.com`. By default itself alone."
    )
    default_sender: Annotated[str, AfterValidator(validators.sender)] | None = Field(
        None, description="`From` of a message without one."
    )
    tenant_recipients_per_day: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Recipients outside the organization in any 24 h for all mailboxes together."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; in the container `0.0.0.0`.")
    port: Annotated[int, BeforeValidator(validators.listen_port), Field(ge=0, le=65535)] = Field(
        8025, description="Port to listen on; 0 takes a free one."
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="A port for `/metrics` alone, which is then not on `POSTERN_PORT`; 0 takes a free one."
    )
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode, BeforeValidator(validators.networks)] = Field(
        (), description="Gateways whose `X-Forwarded-For` and `-Proto` are trusted: addresses or networks with commas."
    )
    root_path: Annotated[str, AfterValidator(validators.root_path)] = Field(
        "", description="Path under which a gateway publishes Postern, such as `/mail`."
    )
    strict: bool = Field(
        False,
        description="Refuse emails with unknown members (422) for every API key, as for a key that is `strict`; else "
        "they are ignored with a warning.",
    )
    api_key: Annotated[SecretStr, AfterValidator(validators.api_key)] | None = Field(
        None,
        description="An API key with full access, at least 16 characters; another value replaces it at the next start.",
    )
    console_password: Annotated[SecretStr, AfterValidator(validators.console_password)] | None = Field(
        None,
        description="Password of the operators' pages at `/console`, 12 characters or more; without it there are none.",
    )
    console_read_password: Annotated[SecretStr, AfterValidator(validators.console_password)] | None = Field(
        None,
        description="Another password of `/console`, for people who may read everything there and change nothing.",
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1024 * MIB)] = Field(
        50 * MIB, description="Largest HTTP request body."
    )
    max_message_bytes: Annotated[int, Field(ge=1024, le=150 * MIB)] = Field(
        35 * MIB, description="Largest composed message; Exchange's own default is 35 MiB."
    )
    max_bytes_in_flight: Annotated[int, Field(ge=1024)] = Field(
        128 * MIB, description="Total size of request bodies above 64 KiB at the same time; more are answered 503."
    )
    keep_content_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        7, description="Days that the content of an email is stored after its end; until then it can be retried."
    )
    keep_metadata_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30,
        validate_default=True,
        description="Days that all other data of an email is stored after its end; webhook events at least 4.",
    )
    keep_audit_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        365, description="Days that the audit is stored: changes and refused sends."
    )
    suppress_bounces: bool = Field(
        True,
        description="Suppress an address after a bounce that says that it is dead; if not, only people and callers add "
        "addresses.",
    )
    suppression_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        365, description="Days that an address is suppressed after a bounce; 0: until it is removed from the list."
    )
    min_free_bytes: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Free space on SQLite's disk below which emails are answered 503; 0: none. By default 128 MiB, "
        "or a tenth of a smaller disk.",
    )
    webhook_private_addresses: bool = Field(
        False, description="Allow webhooks to private addresses, and by plain http."
    )
    trace: bool = Field(
        False,
        description="Read Exchange's message trace, so that delivered and bounced mail is reported. The app needs the "
        "permission `ExchangeMessageTrace.Read.All`, which covers the metadata of all mail of the tenant.",
    )
    ndr: bool = Field(
        False,
        description="Read non-delivery reports in Inbox and Junk Email of the mailboxes, so that bounces are reported. "
        "The app needs the permission `Mail.Read` for these mailboxes.",
    )
    trace_settle_hours: Annotated[float, Field(ge=1, le=168)] = Field(
        24.0,
        description="Hours after which an email that is held with an unknown outcome and is not in the trace counts "
        "as not seen by Exchange.",
    )
    trace_retry_unseen: bool = Field(
        False,
        description="Send an email that Exchange has not seen again, unless it has expired; else a person decides. "
        "Also a setting of each pool (`trace_retry_unseen`), and a policy of each API key (`retry_unseen`).",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        25.0, description="Seconds that a stop waits for messages in flight."
    )
    pools: tuple[PoolSettings, ...] = Field((), validate_default=True, description="`[[pools]]` of `postern.toml`.")

    @field_validator("keep_metadata_days")
    @classmethod
    def _not_shorter(cls, given: int, so_far: ValidationInfo) -> int:
        return validators.metadata_days(given, so_far.data.get("keep_content_days", 0))

    @field_validator("console_read_password")
    @classmethod
    def _second_password(cls, given: SecretStr | None, so_far: ValidationInfo) -> SecretStr | None:
        if "console_password" in so_far.data:  # it is absent if it is wrong itself
            validators.console_read_password(given, so_far.data["console_password"])
        return given

    @field_validator("role")
    @classmethod
    def _shared(cls, given: str, so_far: ValidationInfo) -> str:
        url = so_far.data.get("database_url")  # None if it is wrong itself
        return validators.role(given, shared=url is None or validators.is_database_server(url))

    @field_validator("pools")
    @classmethod
    def _whole(cls, given: tuple[PoolSettings, ...], so_far: ValidationInfo) -> tuple[PoolSettings, ...]:
        """Complete the pools. Fields are validated in order: an error of another setting is reported instead."""
        complete = so_far.data.keys() >= cls.model_fields.keys() - {"pools"}
        if not complete:
            return given
        return complete_pools(given, so_far.data)

    @property
    def traced(self) -> bool:
        """True if a message trace is read."""
        return any(pool.trace for pool in self.pools)

    @property
    def reported(self) -> bool:
        """True if non-delivery reports are read."""
        return any(pool.ndr for pool in self.pools)

    @property
    def routes(self) -> Routes:
        """Routing table from senders to pools."""
        return routes(self.pools)


S = TypeVar("S", bound=_Sourced)


def load(kind: type[S], **options: Any) -> S:
    """Return the settings from all sources; `options` (of the command line) have priority. Raises SettingsError."""
    try:
        check_names(_NAMES, SECRETS)
        return kind(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingsError(validators.error_sentence(first, secret=SECRETS, file=given(CONFIG) or "")) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None


def caller_key(place: str, given: str) -> str:
    """Check an API key that is not from POSTERN_API_KEY, and return it. Raises SettingsError, which names the place."""
    try:
        key = check_secret(place, strip(given))
    except SourceError as error:
        raise SettingsError(str(error)) from None
    if not key:
        raise SettingsError(f"{place}: is empty. Give an API key (postern keys create NAME).")
    if not validators.VISIBLE.fullmatch(key):
        raise SettingsError(f"{place}: {validators.NO_HEADER}. Give the key as it was made.")
    return key


SECRETS = frozenset(secrets(Settings.model_fields))
_NAMES = {
    kind: frozenset(model.model_fields)
    for kind, model in (("top", Settings), ("pool", PoolSettings), ("mailbox", MailboxSettings))
}
