"""The only package that knows SQL. What is kept is kept by verbs; what they take and give is in `records`."""

from app.store.errors import (
    AlreadyOwned,
    AlreadyStored,
    BackupRefused,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
    StoreUnreachable,
)
from app.store.store import Store

__all__ = [
    "AlreadyOwned",
    "AlreadyStored",
    "BackupRefused",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoreUnreachable",
]
