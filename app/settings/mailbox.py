"""Settings of one mailbox: address, login, upstream and limits.

The same fields exist at the top level of the settings, for the only mailbox or as defaults of the mailboxes in pools.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.settings import validators
from app.settings.credential import LOGIN_METHODS, METHOD_OPTIONS, CredentialSettings, check_login
from app.settings.validators import SettingLocation, setting_error


class MailboxSettings(CredentialSettings):
    """Settings of one mailbox."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    mailbox: Annotated[str, AfterValidator(validators.mailbox)] = Field(
        description="The Office 365 mailbox that sends, such as `noreply@contoso.com`."
    )
    smtp_host: Annotated[str, AfterValidator(validators.host_name)] = Field(
        "smtp.office365.com", description="The submission host, as a name; by default as `POSTERN_CLOUD` says."
    )
    smtp_port: Annotated[int, AfterValidator(validators.smtp_port)] = Field(587, description="Its port (STARTTLS).")
    smtp_ca_file: Annotated[Path, AfterValidator(validators.ca_file)] | None = Field(
        None, description="PEM file with the CA to trust instead of the system's."
    )
    ehlo_name: Annotated[str, AfterValidator(validators.ehlo_name)] = Field(
        "", description="Name in EHLO; by default the mailbox's domain."
    )
    ipv4_only: bool = Field(False, description="Never use IPv6 to the upstream.")
    connections: Annotated[int, Field(ge=1, le=100)] = Field(
        CONNECTIONS, description="Connections at once for a mailbox."
    )
    urgent_connections: Annotated[int, Field(ge=0, le=99)] = Field(
        1, description="Connections reserved for urgent mail; none if there is only one."
    )
    messages_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        MESSAGES_PER_MINUTE, description="Messages in any 60 s for a mailbox."
    )
    recipients_per_day: Annotated[int, Field(ge=1)] = Field(
        RECIPIENTS_PER_DAY, description="Recipients in any 24 h for a mailbox."
    )

    @property
    def ehlo(self) -> str:
        """Name in EHLO."""
        return self.ehlo_name or self.mailbox.rpartition("@")[2]

    @classmethod
    def alone(cls, top: Mapping[str, Any]) -> Self:
        """Return the only mailbox, from the settings at top level. Raises a setting error."""
        return _checked(cls.model_construct(**{name: top[name] for name in cls.model_fields}), SettingLocation())

    def completed(self, top: Mapping[str, Any], table: str) -> tuple[Self, SettingLocation]:
        """Return the mailbox completed with settings from the top level. Raises a setting error."""
        taken = type(self).model_fields.keys() - self.model_fields_set - _not_taken(self, top) - {"mailbox"}
        place = SettingLocation(table, frozenset(name for name in taken if top[name]))
        _check_app(self, top, place)
        return _checked(self.model_copy(update={name: top[name] for name in taken}), place), place


M = TypeVar("M", bound=MailboxSettings)


def _checked(given: M, place: SettingLocation) -> M:
    """Check settings that depend on each other."""
    check_login(given, place)
    if given.connections == 1:
        return given.model_copy(update={"urgent_connections": 0})
    if given.urgent_connections >= given.connections:
        what = f"{given.urgent_connections} leaves none of the {given.connections} connections of {given.mailbox}"
        fix = f"Give {given.connections - 1} or less, or more connections"
        raise setting_error(f"{what} for other mail", fix, place=place.full_name("urgent_connections"))
    return given


def _not_taken(own: MailboxSettings, top: Mapping[str, Any]) -> frozenset[str]:
    """Return the settings that a mailbox with its own login does not inherit."""
    methods = [name for name in LOGIN_METHODS if getattr(own, name)]
    if not methods:
        return frozenset()
    if methods == ["password"]:
        return frozenset((*LOGIN_METHODS, *METHOD_OPTIONS, "tenant_id", "client_id"))
    if "managed_identity" in methods or top["managed_identity"]:  # its client id is that of an identity, not of an app
        return frozenset((*LOGIN_METHODS, *METHOD_OPTIONS, "client_id"))
    return frozenset((*LOGIN_METHODS, *METHOD_OPTIONS))


def _check_app(own: MailboxSettings, top: Mapping[str, Any], place: SettingLocation) -> None:
    """Check that an inherited client secret belongs to the app of the mailbox."""
    if "client_secret" not in place.inherited or not (own.client_id and top["client_id"]):
        return
    if own.client_id.lower() != top["client_id"].lower():
        what = f"is another app than that of {place.short_name('client_secret')}"
        raise setting_error(what, "Give the client_secret of this app beside it", place=place.full_name("client_id"))
