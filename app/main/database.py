"""Steps of a start at the database: lock it, open it, recover abandoned attempts, store the key of the settings."""

import asyncio
from contextlib import AsyncExitStack

from app import logs
from app.api.auth.authenticator import digest
from app.settings import Settings
from app.store import Store, StoreUnreachableError
from app.store.db.engine import database_file
from app.store.db.file_lock import DatabaseFileLock
from app.store.keys.setting_key import BY, SettingKeyOutcome

DATABASE_RETRY_DELAY = 5.0  # seconds between attempts to connect to an unreachable database server


def lock_database(url: str, stack: AsyncExitStack) -> bool:
    """Lock an embedded database. True: no other process uses it, so attempts under way in it were abandoned."""
    file = database_file(url)
    if file is None:
        return False
    lock = DatabaseFileLock(file)
    lock.acquire()
    stack.callback(lock.release)
    return True


async def open_store(url: str, *, wait_for_server: bool) -> Store:
    """Open the store. With `wait_for_server`, retry until an unreachable database server answers."""
    while True:
        try:
            return await Store.open(url)
        except StoreUnreachableError as error:
            if not wait_for_server:
                raise
            logs.store_unreachable(error, seconds=DATABASE_RETRY_DELAY)
        await asyncio.sleep(DATABASE_RETRY_DELAY)


async def recover_all(store: Store, now: float) -> None:
    """Return the messages of abandoned attempts to the queue: no other process uses this database."""
    for email, in_doubt in await store.recover(now, everything=True):
        logs.reclaimed(email, in_doubt=in_doubt)


async def apply_setting_key(store: Store, settings: Settings, now: float) -> None:
    """Store the API key of the settings, or revoke the one that was removed from them."""
    secret = settings.api_key
    if secret is None and settings.role == "relay":  # it serves no API and may lack the setting
        return
    hashed = None if secret is None else digest(secret.get_secret_value())
    applied = await store.apply_setting(hashed, now)
    for id in applied.revoked:
        logs.key_changed(id, what=SettingKeyOutcome.REVOKED, key=BY.name)
    if applied.key is not None and applied.outcome in (SettingKeyOutcome.CREATED, SettingKeyOutcome.REPLACED):
        logs.key_changed(applied.key, what=applied.outcome, key=BY.name)
    elif applied.key is not None and applied.outcome is SettingKeyOutcome.IGNORED:
        logs.key_ignored(applied.key)
