"""Sources of settings: POSTERN_X, or POSTERN_X_FILE, the path of a file with the value; and postern.toml.

The keys of postern.toml, named by POSTERN_CONFIG, are the settings' names in lower case, and [[pools]] has tables. A
secret in it may also be given as `<name>_file`, a path. An empty value counts as not set, as in `${X:-}` of Compose.
Trailing line ends are removed, and secrets with impossible characters are refused. Other values are checked by the
models. An unknown name is an error, so that typing errors are not ignored.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.secret_text import SecretTextError, decode, strip, validate
from app.settings.validators import PREFIX, variable
from app.smtp.auth.credentials import SecretFile

CONFIG = "POSTERN_CONFIG"

Table = dict[str, Any]

# Variables that Kubernetes adds for a Service named postern.
_SERVICE_LINK = re.compile(r"POSTERN_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_\w+)?)")
_TABLES = "pools"  # has no variable


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
    given = _plain(values, hidden, variable)
    for field in fields:
        name = variable(field)
        if (path := _file(name, fields)) is None:
            continue
        if field in given:
            raise SourceError(f"{name}: is given twice, also as {name}_FILE. Keep one of them.")
        content = _file_secret(f"{name}_FILE", path, check=field in hidden)
        given[field] = content if field in hidden else content.get_secret_value()
    return given


def given(name: str) -> str | None:
    """Return the value of a variable; None if it is not set, or empty."""
    return strip(os.environ.get(name, "")) or None


def _plain(values: Mapping[str, Any], hidden: set[str], place: Callable[[str], str]) -> dict[str, Any]:
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


def _file_secret(place: str, path: str, *, check: bool = True) -> FileSecret:
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
    return None if file in {variable(field) for field in fields} else given(file)


def from_file(fields: Mapping[str, FieldInfo]) -> Table:
    """Return the values of the file and of its secret files; empty without POSTERN_CONFIG. Raises SourceError."""
    document, names, path = _read_file(), secrets(fields), given(CONFIG)
    for _, place, table in _tables(document):
        _read_secrets(table, names, f"{path}: {place}")
    return document


def _read_file() -> Table:
    """Return the parsed file; empty without POSTERN_CONFIG. Raises SourceError."""
    path = given(CONFIG)
    if path is None:
        return {}
    try:
        return tomllib.loads(decode(Path(path).read_bytes()))
    except SecretTextError as error:
        raise SourceError(f"{CONFIG}: {path!r} {error}") from None
    except OSError as error:
        raise SourceError(
            f"{CONFIG}: {path!r} cannot be read: {error.strerror}. Give the path of postern.toml."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{CONFIG}: {path!r} is not TOML: {error}. Correct that line.") from None


def _tables(document: Table) -> Iterator[tuple[str, str, Table]]:
    """Yield the tables of the file: their kind, where their names begin, and themselves. Other values are skipped."""
    yield "top", "", document
    for place, pool in _rows(document, "pools", ""):
        yield "pool", place, pool
        for at, mailbox in _rows(pool, "mailboxes", place):
            yield "mailbox", at, mailbox


def _rows(parent: Table, key: str, place: str) -> Iterator[tuple[str, Table]]:
    rows = parent.get(key)
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        if isinstance(row, dict):
            yield f"{place}{key}[{number}].", row


def _read_secrets(table: Table, names: set[str], place: str) -> None:
    """Replace `password_file` by `password`, and remove empty values.

    An empty secret stays, so that its mailbox does not inherit another one.
    """
    empty = {name: text for name, text in table.items() if name in names and text == ""}
    texts = empty | _plain(table, names, lambda name: f"{place}{name}")
    table.clear()
    table.update(texts)
    for name in sorted(names):
        file = f"{name}_file"
        if file not in table:
            continue
        if name in table:
            raise SourceError(f"{place}{name}: is given twice, also as {file}. Keep one of them.")
        table[name] = _file_secret(f"{place}{file}", str(table.pop(file)))


def check_names(known: Mapping[str, frozenset[str]], secret: frozenset[str]) -> None:
    """Check the names in postern.toml and in the environment. Raises SourceError.

    `known`: the settings of a table by its kind: `top`, `pool`, `mailbox`. `secret` ones can be given as a file.
    """
    for kind, place, table in _tables(_read_file()):
        names = known[kind] | {f"{name}_file" for name in known[kind] & secret}
        for name in sorted(table.keys() - names):
            at = f"{given(CONFIG)}: {place}".removesuffix(".") if place else given(CONFIG)
            raise SourceError(f"{at}: there is no setting {name}. {_near(name, names)}")
    variables = {variable(field) for field in known["top"] - {_TABLES}} | {CONFIG}
    for name in sorted(os.environ):
        plain = name.removesuffix("_FILE") if name not in {*variables, f"{CONFIG}_FILE"} else name
        if not name.startswith(PREFIX) or plain in variables or _SERVICE_LINK.fullmatch(name):
            continue
        if plain == variable(_TABLES):
            raise SourceError(f"{name}: pools have tables. Write [[pools]] into postern.toml, named by {CONFIG}.")
        raise SourceError(f"{name}: there is no such setting. {_near(plain, variables, name[len(plain) :])}")


def _near(name: str, known: Iterable[str], suffix: str = "") -> str:
    bare = {other.removeprefix(PREFIX): other for other in known}  # the common prefix would make all names similar
    near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return f"Did you mean {bare[near[0]]}{suffix}?" if near else "deploy/docs/settings.md lists the settings."
