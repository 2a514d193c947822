"""Settings from the environment: POSTERN_X, or POSTERN_X_FILE, which names a file with the value.

An empty value counts as not set, as in `${X:-}` of Compose. Trailing line ends are removed, and secrets with
impossible characters are refused.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.secret_text import SecretTextError, decode, strip, validate
from app.settings.location import variable


class FileSecret(SecretStr):
    """A secret that remembers its file, so that its user can read it again."""

    def __init__(self, secret_value: str, path: Path) -> None:
        super().__init__(secret_value)
        self.path = path


class SourceError(Exception):
    """Unreadable source of settings. The message is one line: the variable, the error, the fix."""


class Variables(PydanticBaseSettingsSource):
    """The variables of the environment as a source of settings."""

    def __init__(self, settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource) -> None:
        """`environment` is pydantic's own source."""
        super().__init__(settings_cls)
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of all variables. Raises SourceError."""
        fields = self.settings_cls.model_fields
        hidden = secrets(fields)
        given = plain(self._environment(), hidden, variable)
        for field in fields:
            if (path := _file(variable(field), fields)) is None:
                continue
            if field in given:
                raise SourceError(
                    f"{variable(field)}: is given twice, also as {variable(field)}_FILE. Keep one of them."
                )
            content = file_secret(f"{variable(field)}_FILE", path, check=field in hidden)
            given[field] = content if field in hidden else content.get_secret_value()
        return given


def given(environ: Mapping[str, str], name: str) -> str | None:
    """The value of a variable; None if it is not set, or empty."""
    return strip(environ.get(name, "")) or None


def plain(values: Mapping[str, Any], hidden: set[str], place: Callable[[str], str]) -> dict[str, Any]:
    """The values without line ends, and without the empty ones; the `hidden` ones are checked. `place` is the name of a
    setting in an error. Raises SourceError.
    """
    texts = {name: strip(value) if isinstance(value, str) else value for name, value in values.items()}
    for name in hidden & texts.keys():
        if isinstance(texts[name], str):
            check_secret(place(name), texts[name])
    return {name: value for name, value in texts.items() if value != ""}


def secrets(fields: Mapping[str, FieldInfo]) -> set[str]:
    """The settings whose values are never shown."""
    return {name for name, field in fields.items() if "SecretStr" in str(field.annotation)}


def check_secret(place: str, text: str) -> str:
    """The text, if it can be a secret. Raises SourceError, which names the place."""
    try:
        return validate(text)
    except SecretTextError as error:
        raise SourceError(f"{place}: {error}") from None


def file_secret(place: str, path: str, *, check: bool = True) -> FileSecret:
    """The content of a file, stripped; it may not be empty. Raises SourceError, which names the place."""
    try:
        text = decode(Path(path).read_bytes())
        secret = validate(text) if check else text
    except SecretTextError as error:
        raise SourceError(f"{place}: {path!r} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: it is no path at all
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise SourceError(f"{place}: {path!r} cannot be read: {reason}. Mount the secret there.") from None
    if not secret:
        raise SourceError(f"{place}: {path!r} is empty. Put the secret into it.")
    return FileSecret(secret, Path(path))


def _file(name: str, fields: Mapping[str, FieldInfo]) -> str | None:
    """The path in NAME_FILE, unless that is a setting of its own."""
    file = f"{name}_FILE"
    return None if file in {variable(field) for field in fields} else given(os.environ, file)
