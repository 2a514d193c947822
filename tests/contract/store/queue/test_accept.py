"""Acceptance is atomic, and an Idempotency-Key stores one request."""

import asyncio
from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState, RecipientState
from app.mail.message.message import OnUnknown
from app.store import AlreadyStoredError, Store
from app.store.queue.accept import Accepted, IdempotencyConflict
from tests.contract.store.build import CONTENT, DAY, KEY, NOW, accept, acceptance, new_id, once
from tests.states import count_states


async def test_an_accepted_message_is_read_back_unchanged(store: Store) -> None:
    """Every field, in the caller's order."""
    stored = acceptance(
        "z@example.com", "ä@example.com", scheduled_at=NOW + 60, due_at=NOW + 60, on_unknown=OnUnknown.HOLD
    )
    assert await store.accept([stored]) == Accepted((stored.id,))
    email = await store.get(stored.id)
    assert email is not None
    assert (email.id, email.key_id, email.pool, email.state) == (stored.id, KEY, "default", MessageState.QUEUED)
    assert (email.head, email.message_id, email.size) == (stored.head, stored.message.message_id, len(CONTENT))
    assert (email.created_at, email.due_at, email.scheduled_at) == (NOW, NOW + 60, NOW + 60)
    assert (email.expires_at, email.ended_at, email.mailbox) == (NOW + 5 * DAY, None, None)
    assert (email.on_unknown, email.possible_duplicate, email.explanation) == (OnUnknown.HOLD, False, None)
    assert [recipient.address for recipient in email.recipients] == ["z@example.com", "ä@example.com"]
    assert {recipient.state for recipient in email.recipients} == {RecipientState.PENDING}
    assert email.attempts == ()


@pytest.mark.parametrize("content", [b"\0\r\n\xff" * 10, b"x" * 3_000_000], ids=["any bytes", "3 MB"])
async def test_content_is_byte_true(store: Store, content: bytes) -> None:
    """A separate row, of any size."""
    (id,) = await accept(store, acceptance(content=content))
    assert await store.content(id) == content


async def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    """A duplicate id undoes its whole request, and no other."""
    (old,) = await accept(store)
    new = acceptance()
    with pytest.raises(AlreadyStoredError):
        await store.accept([new, acceptance(id=old)], once())
    assert await store.get(new.id) is None
    assert await store.accept([new], once(fingerprint=b"other")) == Accepted((new.id,)), "the key is not used up"


async def test_a_bad_request_does_not_fail_others_of_its_group(store: Store) -> None:
    (old,) = await accept(store)
    good = [acceptance() for _ in range(20)]
    answers = await asyncio.gather(
        *(store.accept([one]) for one in good[:10]),
        store.accept([acceptance(id=old)]),
        *(store.accept([one]) for one in good[10:]),
        return_exceptions=True,
    )
    assert isinstance(answers.pop(10), AlreadyStoredError)
    assert answers == [Accepted((one.id,)) for one in good]
    assert None not in [await store.get(one.id) for one in good]


async def test_the_same_key_and_request_is_one_email(store: Store) -> None:
    """The repetition returns the first ids and stores nothing."""
    first, second = acceptance(), acceptance()
    assert await store.accept([first], once()) == Accepted((first.id,))
    assert await store.accept([second], once()) == Accepted((first.id,), replayed=True)
    assert await store.get(second.id) is None


async def test_the_same_key_for_another_request_is_a_conflict(store: Store) -> None:
    """And stores nothing."""
    await store.accept([acceptance()], once())
    second = acceptance()
    assert await store.accept([second], once(fingerprint=b"other")) == IdempotencyConflict()
    assert await store.get(second.id) is None


@pytest.mark.parametrize("other", [{"key": "l"}, {"endpoint": "/emails/batch"}, {"key_id": UUID(int=8)}])
async def test_an_idempotency_key_is_scoped_to_api_key_and_endpoint(store: Store, other: dict[str, str]) -> None:
    await store.accept([acceptance()], once())
    answer = await store.accept([acceptance()], once(**{"fingerprint": b"other", **other}))  # type: ignore[arg-type]  # a table of changes
    assert isinstance(answer, Accepted)
    assert not answer.replayed


@pytest.mark.parametrize(("age", "fresh"), [(DAY - 1, False), (DAY, True)])
async def test_an_idempotency_key_expires_after_a_day(store: Store, age: float, fresh: bool) -> None:
    first, second, third = acceptance(), acceptance(created_at=NOW + age), acceptance(created_at=NOW + age)
    asked = once(fingerprint=b"other") if fresh else once()
    await store.accept([first], once())
    assert await store.accept([second], asked) == Accepted((second.id if fresh else first.id,), replayed=not fresh)
    assert await store.accept([third], asked) == Accepted((second.id if fresh else first.id,), replayed=True)


async def test_fifty_at_once_with_one_key_are_one_email(store: Store, store_url: str) -> None:
    """Within a group, and between two stores on one database."""
    other = await Store.open(store_url)
    asked = [(store, other)[n % 2].accept([acceptance(), acceptance()], once()) for n in range(50)]
    answers = await asyncio.gather(*asked)
    await other.close()
    assert sum(isinstance(answer, Accepted) and not answer.replayed for answer in answers) == 1
    assert len({answer.ids for answer in answers if isinstance(answer, Accepted)}) == 1
    assert (await count_states(store))[MessageState.QUEUED] == 2


async def test_many_keys_at_once_do_not_mix(store: Store) -> None:
    """Several API keys and endpoints, looked up together."""
    ids: dict[tuple[UUID, str, str], UUID] = {}
    asked = []
    for n in range(40):
        key = once(f"k{n % 5}", endpoint=f"/{n % 2}", key_id=UUID(int=n % 4))
        one = acceptance(id=new_id())
        ids.setdefault((key.key_id, key.endpoint, key.key), one.id)
        asked.append((key, one))
    answers = await asyncio.gather(*(store.accept([one], key) for key, one in asked))
    for (key, _), answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Accepted)
        assert answer.ids == (ids[key.key_id, key.endpoint, key.key],)
