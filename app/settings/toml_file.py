"""postern.toml, named by POSTERN_CONFIG: its keys are the settings' names in lower case, and [[pools]] has tables.

A secret may also be given as `<name>_file`, a path. An empty text means that the setting is not given, as in the
environment. Only secrets are checked here; other values are checked by the models.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from app.secret_text import SecretTextError, decode
from app.settings.secret_files import SourceError, file_secret, given, plain, secrets

CONFIG = "POSTERN_CONFIG"

Table = dict[str, Any]


def from_file(fields: Mapping[str, FieldInfo]) -> Table:
    """Return the values of the file and of its secret files; empty without POSTERN_CONFIG. Raises SourceError."""
    document = read(os.environ)
    names = secrets(fields)
    path = given(os.environ, CONFIG)
    _read_secrets(document, names, f"{path}: ")
    for (at, pool), mailboxes in pools(document):
        _read_secrets(pool, names, f"{path}: {at}.")
        for place, mailbox in mailboxes:
            _read_secrets(mailbox, names, f"{path}: {place}.")
    return document


def read(environ: Mapping[str, str]) -> Table:
    """Return the parsed file; empty without POSTERN_CONFIG. Raises SourceError."""
    path = given(environ, CONFIG)
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


def pools(document: Table) -> Iterator[tuple[tuple[str, Table], list[tuple[str, Table]]]]:
    """Yield each pool and its mailboxes, with their places. Values that are not tables are skipped."""
    for at, pool in _tables(document, "pools", "pools"):
        yield (at, pool), list(_tables(pool, "mailboxes", f"{at}.mailboxes"))


def _tables(parent: Table, key: str, place: str) -> Iterator[tuple[str, Table]]:
    rows = parent.get(key)
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        if isinstance(row, dict):
            yield f"{place}[{number}]", row


def _read_secrets(table: Table, names: set[str], place: str) -> None:
    """Replace `password_file` by `password`, and remove empty values.

    An empty secret stays, so that its mailbox does not inherit another one.
    """
    empty = {name: text for name, text in table.items() if name in names and text == ""}
    texts = empty | plain(table, names, lambda name: f"{place}{name}")
    table.clear()
    table.update(texts)
    for name in sorted(names):
        file = f"{name}_file"
        if file not in table:
            continue
        if name in table:
            raise SourceError(f"{place}{name}: is given twice, also as {file}. Keep one of them.")
        table[name] = file_secret(f"{place}{file}", str(table.pop(file)))
