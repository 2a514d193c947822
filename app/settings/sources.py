"""Secrets from files: POSTERN_X_FILE beside POSTERN_X, and x_file beside x in postern.toml. Checks no values."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from app.settings.place import variable


class FileSecret(SecretStr):
    """A secret that remembers its file, so that whoever uses it can read it again."""

    def __init__(self, secret_value: str, path: Path) -> None:
        super().__init__(secret_value)
        self.path = path


class SourceError(Exception):
    """One plain line: the variable, the fault, the mend."""


class FileVariables(PydanticBaseSettingsSource):
    """POSTERN_X_FILE names a file whose content is X, as Docker and Kubernetes hand secrets over."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of all *_FILE variables. Raises SourceError."""
        fields = self.settings_cls.model_fields
        plain = {variable(field) for field in fields}  # those whose own name ends in _FILE are no files to read
        secret = secrets(fields)
        values: dict[str, Any] = {}
        for field in fields:
            name = variable(field)
            if (path := os.environ.get(f"{name}_FILE")) is not None and f"{name}_FILE" not in plain:
                if name in os.environ:
                    raise SourceError(f"{name}: is given twice, also as {name}_FILE. Keep one of them.")
                content = file_secret(f"{name}_FILE", path)
                values[field] = content if field in secret else content.get_secret_value()
        return values


def secrets(fields: Mapping[str, FieldInfo]) -> set[str]:
    """Those whose values are never shown."""
    return {name for name, field in fields.items() if "SecretStr" in str(field.annotation)}


def file_secret(place: str, path: str) -> FileSecret:
    """The content of a file without its line end. Raises SourceError, which names the place."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no path at all
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"{place}: {path!r} cannot be read: {reason}. Mount the secret there.") from None
    if not text.strip():
        raise SourceError(f"{place}: {path!r} is empty. Put the secret into it.")
    return FileSecret(text.rstrip("\r\n"), Path(path))
