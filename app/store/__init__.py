"""The only package that knows SQL. What is kept is kept by verbs; what they take and give is in `records`."""

from app.store.errors import (
    AlreadyOwnedError,
    AlreadyStoredError,
    BackupError,
    SchemaTooNewError,
    StoreError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from app.store.store import Store

__all__ = [
    "AlreadyOwnedError",
    "AlreadyStoredError",
    "BackupError",
    "SchemaTooNewError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "StoreUnreachableError",
]
