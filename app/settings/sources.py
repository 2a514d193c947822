"""Where settings come from beside the plain environment: POSTERN_*_FILE and postern.toml. Checks names, not values."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "POSTERN_"
CONFIG = "POSTERN_CONFIG"
# What Kubernetes and old container links add for a Service that is called postern.
_SERVICE_LINK = re.compile(r"POSTERN_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_\w+)?)")


class FileSecret(SecretStr):
    """A secret that remembers its file, so that whoever uses it can read it again."""

    def __init__(self, secret_value: str, path: Path) -> None:
        super().__init__(secret_value)
        self.path = path


class SourceError(Exception):
    """One plain line: the variable, the fault, the mend."""


def check_names(fields: Iterable[str], environ: Mapping[str, str]) -> None:
    """Refuse a POSTERN_* variable that is no setting: it is a typing error, and silence would hide it."""
    known = {PREFIX + field.upper() for field in fields} | {CONFIG}
    _check_file_names(set(fields), environ)
    for variable in sorted(environ):
        name = variable.removesuffix("_FILE") if variable not in known else variable
        if not variable.startswith(PREFIX) or name in known or _SERVICE_LINK.fullmatch(variable):
            continue
        raise SourceError(f"{variable}: there is no such setting. {_near(name, known)}")


def _check_file_names(fields: set[str], environ: Mapping[str, str]) -> None:
    for name in sorted(set(_toml(environ)) - fields):
        raise SourceError(f"{environ[CONFIG]}: there is no setting {name}. {_near(name, fields)}")


def _near(name: str, known: set[str]) -> str:
    bare = {one.removeprefix(PREFIX): one for one in known}  # what all have in common would make all alike
    near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return f"Did you mean {bare[near[0]]}?" if near else "README.md lists the settings."


class FileVariables(PydanticBaseSettingsSource):
    """POSTERN_X_FILE names a file whose content is X, as Docker and Kubernetes hand secrets over."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of all *_FILE variables. Raises SourceError."""
        values: dict[str, Any] = {}
        for field, facts in self.settings_cls.model_fields.items():
            variable = f"{PREFIX}{field.upper()}"
            if (path := os.environ.get(f"{variable}_FILE")) is not None and f"{variable}_FILE" not in self._plain():
                if variable in os.environ:
                    raise SourceError(f"{variable}: is given twice, also as {variable}_FILE. Keep one of them.")
                content = _content(f"{variable}_FILE", path)
                values[field] = FileSecret(content, Path(path)) if "SecretStr" in str(facts.annotation) else content
        return values

    def _plain(self) -> set[str]:
        """Fields whose own name ends in _FILE are values, not files to read."""
        return {PREFIX + field.upper() for field in self.settings_cls.model_fields}


def _content(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"{variable}: {path!r} cannot be read: {reason}. Mount the secret there.") from None
    if not text.strip():
        raise SourceError(f"{variable}: {path!r} is empty. Put the secret into it.")
    return text.rstrip("\r\n")


class TomlFile(PydanticBaseSettingsSource):
    """postern.toml, named by POSTERN_CONFIG; its keys are the settings' names in lower case, without the prefix."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of the file, none without POSTERN_CONFIG. Raises SourceError."""
        return _toml(os.environ)


def _toml(environ: Mapping[str, str]) -> dict[str, Any]:
    path = environ.get(CONFIG)
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SourceError(
            f"{CONFIG}: {path!r} cannot be read: {error.strerror}. Give the path of postern.toml."
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{CONFIG}: {path!r} is not TOML: {error}. Correct that line.") from None
