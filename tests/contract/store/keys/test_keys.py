"""API keys in the store: policies, secrets, and an audit entry of every change."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.mail.key_policy import UNUSED, Policy, PolicyError
from app.mail.message.message import Lane
from app.store import AlreadyStoredError, Store
from app.store.keys.audit import Actor, AuditAction
from app.store.keys.records import AuthenticatedKey, Key, KeyRecord, KeyRevision, KeyRotation, KeySecret, Permission
from tests.contract.store.build import NOW

BY = Actor("admin", UUID(int=5), "request-1")
POLICY = Policy(
    senders=("*@contoso.com",),
    default_sender="Ä <a@contoso.com>",
    lanes=(Lane.BULK, Lane.NORMAL),
    recipients=("*@example.com",),
    messages_per_minute=3,
    messages_per_day=5,
)
ONE = Key(UUID(int=1), "first", Permission.FULL_ACCESS, NOW)
TWO = Key(UUID(int=2), "second", Permission.SEND_ONLY, NOW + 1, POLICY)
STRANGER = UUID(int=99)


def revision(id: UUID, **changes: Any) -> KeyRevision:
    """Return a change by an administrator."""
    return KeyRevision(id, changes, NOW + 5, BY)


async def audited(store: Store) -> list[tuple[AuditAction, str, dict[str, Any]]]:
    """Return the audit, the oldest first."""
    found = [record.entry for record in await store.audit(None, 100)]
    return [(one.action, one.subject, dict(one.details)) for one in reversed(found)]


async def test_keys_are_stored_found_and_revoked(store: Store) -> None:
    """By the digest of the secret; a revoked key is still found."""
    await store.create_key(TWO, b"2" * 32)
    await store.create_key(ONE, b"1" * 32)
    secrets = [(KeySecret(key.created_at, None),) for key in (ONE, TWO)]
    assert await store.keys() == [KeyRecord(ONE, secrets[0], None, UNUSED), KeyRecord(TWO, secrets[1], None, UNUSED)]
    assert await store.key(TWO.id) == KeyRecord(TWO, secrets[1], None, UNUSED)
    assert await store.key(STRANGER) is None
    assert await store.find_key(b"1" * 32) == AuthenticatedKey(ONE, None, None, None)
    assert await store.find_key(b"2" * 32) == AuthenticatedKey(TWO, None, None, UNUSED)
    assert await store.find_key(b"none") is None
    assert await store.revoke_key(ONE.id, NOW + 5)
    assert not await store.revoke_key(ONE.id, NOW + 6)
    assert not await store.revoke_key(STRANGER, NOW + 6)
    assert await store.find_key(b"1" * 32) == AuthenticatedKey(replace(ONE, revoked_at=NOW + 5), None, None, None)


async def test_a_digest_belongs_to_one_key(store: Store) -> None:
    """The second is refused."""
    await store.create_key(ONE, b"same")
    with pytest.raises(AlreadyStoredError):
        await store.create_key(TWO, b"same")


async def test_a_hash_with_the_same_prefix_is_another_key(store: Store) -> None:
    """A prefix finds the rows; the whole hash decides."""
    await store.create_key(ONE, b"12345678" + b"a" * 24)
    await store.create_key(TWO, b"12345678" + b"b" * 24)
    for key, rest in ((ONE, b"a"), (TWO, b"b")):
        found = await store.find_key(b"12345678" + rest * 24)
        assert found is not None
        assert found.key == key
    assert await store.find_key(b"12345678" + b"c" * 24) is None


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({}, TWO),
        ({"name": "other"}, replace(TWO, name="other")),
        ({"disabled": True}, replace(TWO, disabled=True)),
        ({"permission": Permission.FULL_ACCESS}, replace(TWO, permission=Permission.FULL_ACCESS)),
        ({"messages_per_day": None}, replace(TWO, policy=replace(POLICY, messages_per_day=None))),
        ({"recipients": (), "sink": True}, replace(TWO, policy=replace(POLICY, recipients=(), sink=True))),
        ({"lanes": ()}, replace(TWO, policy=replace(POLICY, lanes=()))),
    ],
)
async def test_a_change_of_one_part_keeps_the_others(store: Store, changes: dict[str, Any], after: Key) -> None:
    """The audit has the old and the new value."""
    await store.create_key(TWO, b"2" * 32)
    assert await store.revise_key(revision(TWO.id, **changes)) == after
    record = await store.key(TWO.id)
    assert record is not None
    assert record.key == after
    written = [
        details
        for action, subject, details in await audited(store)
        if (action, subject) == ("key.updated", str(TWO.id))
    ]
    assert [set(details) - {"name"} for details in written] == ([set(changes) - {"name"}] if changes else [])
    if "disabled" in changes:
        assert written[0]["disabled"] == {"before": False, "after": True}


async def test_a_contradictory_change_changes_nothing(store: Store) -> None:
    """And fails no other write of its group."""
    await store.create_key(TWO, b"2" * 32)
    bad, good = revision(TWO.id, sink=True), revision(TWO.id, name="other")
    outcomes = await asyncio.gather(store.revise_key(bad), store.revise_key(good), return_exceptions=True)
    wrong, right = outcomes
    assert isinstance(wrong, PolicyError)
    assert right == replace(TWO, name="other")
    assert await store.revise_key(revision(STRANGER)) is None


async def test_a_rotated_key_has_two_secrets_for_a_while(store: Store) -> None:
    """Old ones are valid at most until the given time; another rotation extends none."""
    await store.create_key(ONE, b"1" * 32)
    assert await store.rotate_key(KeyRotation(ONE.id, b"2" * 32, NOW + 10, NOW + 100, BY))
    assert await store.rotate_key(KeyRotation(ONE.id, b"3" * 32, NOW + 20, NOW + 200, BY))
    ends = [await store.find_key(digest * 32) for digest in (b"1", b"2", b"3")]
    assert [one and one.until for one in ends] == [NOW + 100, NOW + 200, None]
    record = await store.key(ONE.id)
    assert record is not None
    assert [secret.created_at for secret in record.secrets] == [NOW + 20, NOW + 10, NOW]
    assert await store.rotate_key(KeyRotation(ONE.id, b"4" * 32, NOW + 30, NOW + 30, BY))
    ends = [await store.find_key(digest * 32) for digest in (b"1", b"2", b"3", b"4")]
    assert [one and one.until for one in ends] == [NOW + 30, NOW + 30, NOW + 30, None]


async def test_a_revoked_or_unknown_key_gets_no_new_secret(store: Store) -> None:
    await store.create_key(ONE, b"1" * 32)
    await store.revoke_key(ONE.id, NOW)
    for id in (ONE.id, STRANGER):
        assert not await store.rotate_key(KeyRotation(id, b"2" * 32, NOW, NOW, BY))
    assert await store.find_key(b"2" * 32) is None


async def test_the_last_use_never_moves_back(store: Store) -> None:
    """Two processes may report it out of order."""
    await store.create_key(ONE, b"1" * 32)
    for at, last in ((NOW + 5, NOW + 5), (NOW + 3, NOW + 5), (NOW + 9, NOW + 9)):
        await store.touch_key(ONE.id, at)
        found = await store.find_key(b"1" * 32)
        assert found is not None
        assert found.last_used_at == last


async def test_every_change_is_audited_in_its_commit(store: Store) -> None:
    """With action, key and actor; a change without effect is not."""
    await store.create_key(TWO, b"2" * 32, BY)
    await store.revise_key(revision(TWO.id, disabled=True))
    await store.rotate_key(KeyRotation(TWO.id, b"3" * 32, NOW + 10, NOW + 100, BY))
    for _ in range(2):
        await store.revoke_key(TWO.id, NOW + 20, BY)
    entries = await audited(store)
    assert [action for action, *_ in entries] == ["key.created", "key.updated", "key.rotated", "key.revoked"]
    assert {subject for _, subject, _ in entries} == {str(TWO.id)}
    assert entries[0][2]["messages_per_day"] == 5
    assert entries[2][2] == {"name": "second", "old_secret_until": NOW + 100}
    assert {record.entry.by for record in await store.audit(None, 100)} == {BY}
    assert "2222" not in str(entries)
