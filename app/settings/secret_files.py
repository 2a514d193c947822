"""Settings from the environment: POSTERN_X, or POSTERN_X_FILE, which is the path of a file with the value.

An empty value counts as not set, as in `${X:-}` of Compose. Trailing line ends are removed, and secrets with
impossible characters are refused. `toml_file` reads and checks its secrets by the same functions.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.secret_text import SecretTextError, decode, strip, validate
from app.settings.location import variable
from app.smtp.auth.credentials import SecretFile


class FileSecret(SecretStr):
    """A secret with the path of its file, so that it can be read again."""

    def __init__(self, secret_value: str, path: Path) -> None:
        super().__init__(secret_value)
        self.path = path


def secret_source(given: SecretStr) -> str | SecretFile:
    """Return a secret; one from a file is read again at every use."""
    return SecretFile(given.path) if isinstance(given, FileSecret) else given.get_secret_value()


class SourceError(Exception):
    """Unreadable source of settings. The message is one line: the variable, the error, the fix."""


def from_environment(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the values by field: those of pydantic's own source, and those of files. Raises SourceError."""
    hidden = secrets(fields)
    given = plain(values, hidden, variable)
    for field in fields:
        name = variable(field)
        if (path := _file(name, fields)) is None:
            continue
        if field in given:
            raise SourceError(f"{name}: is given twice, also as {name}_FILE. Keep one of them.")
        content = file_secret(f"{name}_FILE", path, check=field in hidden)
        given[field] = content if field in hidden else content.get_secret_value()
    return given


def given(environ: Mapping[str, str], name: str) -> str | None:
    """Return the value of a variable; None if it is not set, or empty."""
    return strip(environ.get(name, "")) or None


def plain(values: Mapping[str, Any], hidden: set[str], place: Callable[[str], str]) -> dict[str, Any]:
    """Return the values without line ends and without the empty ones; check the `hidden` ones.

    `place` returns the name of a setting in an error. Raises SourceError.
    """
    texts = {name: strip(value) if isinstance(value, str) else value for name, value in values.items()}
    for name in hidden & texts.keys():
        if isinstance(texts[name], str):
            check_secret(place(name), texts[name])
    return {name: value for name, value in texts.items() if value != ""}


def secrets(fields: Mapping[str, FieldInfo]) -> set[str]:
    """Return the names of the settings whose values are never shown."""
    return {name for name, field in fields.items() if "SecretStr" in str(field.annotation)}


def check_secret(place: str, text: str) -> str:
    """Return the text if it can be a secret. Raises SourceError, which names the place."""
    try:
        return validate(text)
    except SecretTextError as error:
        raise SourceError(f"{place}: {error}") from None


def file_secret(place: str, path: str, *, check: bool = True) -> FileSecret:
    """Return the content of a file, stripped. Raises SourceError, which names the place, also if it is empty."""
    try:
        text = decode(Path(path).read_bytes())
        secret = validate(text) if check else text
    except SecretTextError as error:
        raise SourceError(f"{place}: {path!r} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: it is not a path
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise SourceError(f"{place}: {path!r} cannot be read: {reason}. Mount the secret there.") from None
    if not secret:
        raise SourceError(f"{place}: {path!r} is empty. Put the secret into it.")
    return FileSecret(secret, Path(path))


def _file(name: str, fields: Mapping[str, FieldInfo]) -> str | None:
    """Return the path in NAME_FILE, unless NAME_FILE is itself a setting."""
    file = f"{name}_FILE"
    return None if file in {variable(field) for field in fields} else given(os.environ, file)
