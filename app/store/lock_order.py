"""Order in which the verbs of one transaction run, and so the order in which replicas lock rows.

Two replicas that lock the same rows in different orders deadlock. During a rolling upgrade the replicas are of two
versions, so this order is part of what versions agree on: add a verb at its place, never move one. It is the
alphabetical order of the names that the modules and functions had when it was written down.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import (
    accept,
    allowance,
    audit,
    claim,
    delays,
    deliveries,
    ended_sessions,
    erase,
    events,
    heartbeat,
    keys,
    mailboxes,
    ownership,
    person,
    reclaim,
    reschedule,
    restored,
    retention,
    room,
    setback,
    setting_key,
    settle,
    takeover,
    webhooks,
)
from app.store.writer import Verb

_IN_ORDER: Sequence[Verb[Any, Any]] = (
    accept.accept,
    allowance.draw,
    audit.refuse,
    claim.claim,
    delays.tell,
    deliveries.claim,
    deliveries.reclaim,
    deliveries.replay,
    deliveries.replay_failed,
    deliveries.settle,
    erase.erase,
    events.announce,
    heartbeat.beat,
    keys.create,
    keys.revise,
    keys.revoke,
    keys.rotate,
    keys.touch,
    setting_key.apply,
    ended_sessions.end,
    mailboxes.keep,
    mailboxes.wish,
    ownership.beat,
    ownership.leave,
    ownership.release,
    person.cancel,
    person.confirm,
    person.retry,
    reclaim.expire,
    reclaim.reclaim,
    reschedule.reschedule,
    restored.hold,
    retention.prune,
    room.shrink,
    setback.bring_forward,
    setback.shorten,
    settle.give_back,
    settle.mark_dot,
    settle.renew,
    settle.settle,
    takeover.take,
    webhooks.create,
    webhooks.remove,
    webhooks.revise,
    webhooks.rotate,
)
LOCK_ORDER: Mapping[Verb[Any, Any], int] = {verb: place for place, verb in enumerate(_IN_ORDER)}
