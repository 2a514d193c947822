"""Order in which the operations of one transaction run, and so the order in which replicas lock rows.

Two replicas that lock the same rows in different orders deadlock. During a rolling upgrade two versions run at the
same time, so all versions must use the same order: add an operation at its place, never move one. The order is the
alphabetical one of the names that the modules and functions had when the list was made. The numbers of emails by hour
(email_counts.py) are written after all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import erase, retention
from app.store.db import ping, vacuum
from app.store.db.writer import Operation
from app.store.keys import audit, ended_sessions, keys, setting_key
from app.store.mailboxes import conditions, ownership, tenant_quota
from app.store.message_trace import apply, readers, unseen
from app.store.queue import accept, claim, clock_change, delay_notices, operator, recover, settle
from app.store.suppressions import entries
from app.store.webhooks import deliveries, endpoints, outbox

_IN_ORDER: Sequence[Operation[Any, Any]] = (
    accept.accept,
    tenant_quota.draw_quota,
    audit.record,
    audit.record_refusals,
    claim.claim,
    delay_notices.write_notices,
    deliveries.claim,
    deliveries.recover,
    deliveries.replay,
    deliveries.replay_failed,
    deliveries.settle,
    erase.erase,
    outbox.publish,
    ping.write_probe,
    keys.create,
    keys.revise,
    keys.revoke,
    keys.rotate,
    keys.touch,
    setting_key.apply,
    ended_sessions.end,
    conditions.save_condition,
    conditions.request_hold,
    ownership.heartbeat,
    ownership.leave,
    ownership.release,
    operator.cancel,
    operator.confirm,
    operator.retry,
    recover.expire,
    recover.recover,
    operator.reschedule,
    recover.hold,
    retention.prune,
    vacuum.shrink,
    clock_change.bring_forward,
    clock_change.shorten,
    settle.give_back,
    settle.mark_dot,
    settle.renew,
    settle.settle,
    readers.hold,
    readers.advance,
    readers.release,
    readers.advance_folder,
    apply.apply,
    unseen.mark_unseen,
    entries.add,
    entries.remove,
    recover.acquire,
    endpoints.create,
    endpoints.remove,
    endpoints.revise,
    endpoints.rotate,
)
LOCK_ORDER: Mapping[Operation[Any, Any], int] = {operation: position for position, operation in enumerate(_IN_ORDER)}
