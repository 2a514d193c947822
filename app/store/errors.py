"""Errors of the store, each text one line with the cause and its fix, and the rule (`is_item_error`) that separates
errors caused by the given values from errors of the database.
"""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from app.operator_errors import UnavailableError


class StoreError(UnavailableError):
    """Base of all errors of the store. The text is one line for people."""


class StoreUnreachableError(StoreError):
    """The database could not be opened."""


class SchemaTooNewError(StoreError):
    """The schema of the database is newer than this Postern."""


class AlreadyOwnedError(StoreError):
    """Another process uses this database file."""


class BackupError(StoreError):
    """A backup cannot be made or restored."""


class AlreadyStoredError(StoreError):
    """An id or digest that must be unique is stored already; nothing of this request was stored."""


class StoreUnavailableError(StoreError):
    """The database is full, read-only, locked or disconnected; nothing was stored."""

    @classmethod
    def from_database(cls, error: DBAPIError) -> "StoreUnavailableError":
        """Return the error with the database's own message and the way to fix it."""
        return cls(f"The database operation failed: {_message(error)}. {_fix(error)}")


# By the beginning of SQLite's error name or of PostgreSQL's SQLSTATE.
_FIXES = (
    ("SQLITE_FULL", "Free some disk space."),
    ("SQLITE_IOERR", "Check the disk that holds POSTERN_DATA_DIR."),
    ("SQLITE_READONLY", "Make the database file and its folder writable for this user."),
    ("SQLITE_CANTOPEN", "Make the database file and its folder readable and writable for this user."),
    ("SQLITE_PERM", "Make the database file and its folder readable and writable for this user."),
    ("SQLITE_BUSY", "Another process keeps the file locked: end it, or wait until it is done."),
    ("SQLITE_CORRUPT", "The file is damaged: restore it from a backup."),
    ("SQLITE_NOTADB", "POSTERN_DATABASE_URL names a file that is not a database: correct it."),
    ("28", "Correct the user or the password in POSTERN_DATABASE_URL."),
    ("3D", "Create the database that POSTERN_DATABASE_URL names."),
    ("531", "Free some disk space on the database server."),
    ("533", "Raise max_connections on the database server, or run fewer replicas."),
    ("42501", "Let the user in POSTERN_DATABASE_URL own the tables, or grant it their use."),
    ("42P01", "Its tables are not Postern's: run `postern migrate`, or restore them from a backup."),
    ("55P03", "Another process keeps the rows locked: end it, or wait until it is done."),
    ("25006", "POSTERN_DATABASE_URL names a read-only server: name the primary."),
)
_DATABASE_FAULTS = ("42501", "42P01")  # missing privilege or table; SQLAlchemy reports them as ProgrammingError
_CHECK = "Check that the database named by POSTERN_DATABASE_URL is up and can be reached."


def is_item_error(error: Exception) -> bool:
    """Return True if the error is caused by the values given, False if by the database itself."""
    if not isinstance(error, DBAPIError):
        return True
    if _code(error) in _DATABASE_FAULTS:
        return False
    return isinstance(error, IntegrityError | DataError | ProgrammingError | NotSupportedError)


def _message(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error.orig).__name__


def _fix(error: DBAPIError) -> str:
    code = _code(error)
    return next((fix for start, fix in _FIXES if code.startswith(start)), _CHECK)


def _code(error: DBAPIError) -> str:
    """Return SQLite's error name or PostgreSQL's SQLSTATE; "" if the database did not answer."""
    return getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
