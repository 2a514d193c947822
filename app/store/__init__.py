"""Storage of messages, keys, mailboxes and webhooks: the only package with SQL. `Store` and the errors are
exported here; arguments and results of its methods are in the records modules.
"""

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
