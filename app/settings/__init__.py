"""Settings: the environment (POSTERN_*), secret files (POSTERN_*_FILE) and postern.toml, as frozen checked values.

Read by main and the command line only. A wrong setting raises SettingsError: one line that names the variable,
what is wrong and what would be right. A secret's value never appears in it.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.settings import rules
from app.settings.credential import CredentialSettings
from app.settings.sources import PREFIX, FileSecret, FileVariables, SourceError, TomlFile, check_names

__all__ = ["FileSecret", "Settings", "SettingsError", "StoreSettings", "load"]

MIB = 1024 * 1024


class SettingsError(Exception):
    """One plain line: the variable, the fault, the mend."""


class StoreSettings(BaseSettings):
    """What the commands need that only read or change the store."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    data_dir: Path = Field(Path("data"), description="Folder of the embedded database.")
    database_url: Annotated[str, AfterValidator(rules.database_url)] = Field(
        "", description="`sqlite:///file`; by default `postern.db` in `POSTERN_DATA_DIR`."
    )
    log_format: Literal["auto", "human", "json"] = Field("auto", description="`human`, `json`, or by the terminal.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="From which level to log.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FileVariables(settings_cls), TomlFile(settings_cls)

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.database_url or f"sqlite:///{self.data_dir / 'postern.db'}"


class Settings(StoreSettings, CredentialSettings):
    """What `postern serve` needs."""

    mailbox: Annotated[str, AfterValidator(rules.mailbox)] = Field(
        description="The Office 365 mailbox that sends, such as `noreply@contoso.com`."
    )
    senders: Annotated[tuple[str, ...], NoDecode, BeforeValidator(rules.patterns)] = Field(
        (), description="Senders it may send as, as patterns with commas: `*@contoso.com`. By default itself alone."
    )
    default_sender: Annotated[str | None, AfterValidator(rules.sender)] = Field(
        None, description="`From` of a message that names none."
    )
    smtp_host: Annotated[str, AfterValidator(rules.host_name)] = Field(
        "smtp.office365.com", description="The submission host, as a name; by default as `POSTERN_CLOUD` says."
    )
    smtp_port: Annotated[int, AfterValidator(rules.smtp_port)] = Field(587, description="Its port (STARTTLS).")
    smtp_ca_file: Annotated[Path | None, AfterValidator(rules.ca_file)] = Field(
        None, description="PEM file with the CA to trust instead of the system's."
    )
    ehlo_name: Annotated[str, AfterValidator(rules.ehlo_name)] = Field(
        "", description="Name in EHLO; by default the mailbox's domain."
    )
    ipv4_only: bool = Field(False, description="Never use IPv6 to the upstream.")
    host: str = Field("127.0.0.1", description="Address to listen on; in the container `0.0.0.0`.")
    port: Annotated[int, BeforeValidator(rules.listen_port), Field(ge=0, le=65535)] = Field(
        8025, description="Port to listen on; 0 takes a free one."
    )
    api_key: Annotated[SecretStr | None, AfterValidator(rules.api_key)] = Field(
        None, description="A first API key with full access, at least 16 characters."
    )
    connections: Annotated[int, Field(ge=1, le=100)] = Field(3, description="Connections at once for the mailbox.")
    messages_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        30, description="Messages in any 60 s for the mailbox."
    )
    recipients_per_day: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Recipients in any 24 h for the mailbox."
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1024 * MIB)] = Field(
        50 * MIB, description="Largest HTTP request body."
    )
    max_message_bytes: Annotated[int, Field(ge=1024, le=150 * MIB)] = Field(
        35 * MIB, description="Largest composed message; Exchange's own default is 35 MiB."
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        25.0, description="How long a stop waits for messages on their way."
    )

    @property
    def ehlo(self) -> str:
        """The name to say in EHLO."""
        return self.ehlo_name or self.mailbox.rpartition("@")[2]

    @property
    def sender_patterns(self) -> tuple[str, ...]:
        """Who may be the sender."""
        return self.senders or (self.mailbox,)


S = TypeVar("S", bound=StoreSettings)


def load(kind: type[S], **given: Any) -> S:
    """The settings from all sources; `given` (from command-line options) wins. Raises SettingsError."""
    try:
        check_names(Settings.model_fields, os.environ)
        return kind(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingsError(rules.sentence(PREFIX, first, secret=SECRETS)) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None


SECRETS = frozenset(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
