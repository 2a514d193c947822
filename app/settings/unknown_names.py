"""Rejection of unknown setting names, so that typing errors are not ignored."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from app.settings.location import PREFIX, variable
from app.settings.secret_files import SourceError, given
from app.settings.toml_file import CONFIG, pools, read

# Variables that Kubernetes adds for a Service named postern.
_SERVICE_LINK = re.compile(r"POSTERN_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_\w+)?)")
_TABLES = "pools"  # has no variable


@dataclass(frozen=True, slots=True)
class Names:
    """The settings at top level, those of a pool and those of a mailbox. `secret` ones can be given as a file."""

    top: frozenset[str]
    pool: frozenset[str]
    mailbox: frozenset[str]
    secret: frozenset[str]


def check_names(known: Names, environ: Mapping[str, str]) -> None:
    """Check the names in the environment and in postern.toml. Raises SourceError."""
    _check_file(known, environ)
    variables = {variable(field) for field in known.top - {_TABLES}} | {CONFIG}
    for name in sorted(environ):
        plain = name.removesuffix("_FILE") if name not in {*variables, f"{CONFIG}_FILE"} else name
        if not name.startswith(PREFIX) or plain in variables or _SERVICE_LINK.fullmatch(name):
            continue
        if plain == variable(_TABLES):
            raise SourceError(f"{name}: pools have tables. Write [[pools]] into postern.toml, named by {CONFIG}.")
        raise SourceError(f"{name}: there is no such setting. {_near(plain, variables)}")


def _check_file(known: Names, environ: Mapping[str, str]) -> None:
    document, path = read(environ), given(environ, CONFIG) or ""
    files = {f"{name}_file" for name in known.secret}
    _check_table(document, known.top | files, path)
    for (place, pool), mailboxes in pools(document):
        _check_table(pool, _with_files(known.pool, files), f"{path}: {place}")
        for at, mailbox in mailboxes:
            _check_table(mailbox, _with_files(known.mailbox, files), f"{path}: {at}")


def _with_files(names: frozenset[str], files: set[str]) -> frozenset[str]:
    """Return the names, and those of the files of secrets among them."""
    return names | (files & {f"{name}_file" for name in names})


def _check_table(table: Iterable[str], names: Collection[str], place: str) -> None:
    for name in sorted(set(table) - set(names)):
        raise SourceError(f"{place}: there is no setting {name}. {_near(name, names)}")


def _near(name: str, known: Iterable[str]) -> str:
    bare = {other.removeprefix(PREFIX): other for other in known}  # the common prefix would make all names similar
    near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return f"Did you mean {bare[near[0]]}?" if near else "deploy/docs/settings.md lists the settings."
