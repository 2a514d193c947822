"""SIGKILL in every phase, around accepts and during recovery, repeatedly on one database file."""

import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Point
from tests.crash.callers import Callers
from tests.crash.conftest import Figure, Scale
from tests.crash.kill_loop import BLOCK, KillLoop, ends, last_postern, simulated_upstream
from tests.crash.process_control import environment_for, free_port
from tests.crash.verification import Received, verify

CONNECTIONS = 3  # of a mailbox, if nothing else is set


@pytest.mark.timeout(2400)
async def test_no_accepted_message_is_lost_by_sigkill(
    process_control: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """A duplicate has one cause, and is flagged."""
    port, data = free_port(), tmp_path / "data"
    async with simulated_upstream() as simulator:
        control = await process_control()
        environment = environment_for(simulator, data, port)
        async with Callers(port, random.Random(1), pause=0.2) as callers:
            kill_loop = KillLoop(simulator, control, environment, callers, random.Random(2))
            await kill_loop.run(scale.kills, scale.cold)
            child = await control.start(environment)
            await callers.stop()
        await child.kill()
        async with last_postern(simulator, data) as harness:
            emails = await ends(harness, callers.accepted, within=300.0)
            repeated = sum(post.asked > 1 for post in callers.accepted if post.key)
            again = [post for post in callers.accepted if post.key][-300:]
            assert [{(await post.ask(harness.caller)).json()["id"]} for post in again] == [post.ids for post in again]

        received = Received(simulator.messages)
        total = verify(emails, received)
        score = kill_loop.score
        assert total.emails == len(callers.accepted)
        assert all(len(post.ids) == 1 for post in callers.accepted), "one key, one id, over every kill"
        assert all(received.one_message(post.address) for post in callers.posts)
        assert received.addresses() <= {post.address for post in callers.posts}
        check_doubt_by_phase(score.struck, {email["to"][0]: email for email in emails})
        assert {answer.status_code for answer in callers.refused} <= {503}
        assert simulator.violations == []
        at_one_kill = in_doubt_together(emails)
        assert at_one_kill <= CONNECTIONS
        assert control.logged("crashed") == 0, control.tail()
        assert scale.kills < len(BLOCK) or set(score.kills) == set(BLOCK)

        figure(
            "kills", f"{score.kills.total()} ({', '.join(f'{name} {n}' for name, n in sorted(score.kills.items()))})"
        )
        figure("pulled by hand, the point not being reached", dict(score.late))
        figure("posts / 200 read / lost", f"{len(callers.posts)} / {total.emails} / 0")
        figure("posts repeated under their key, one id each", repeated)
        figure("relayed / held as unknown (two doubts)", f"{total.relayed} / {total.held_as_unknown}")
        figure("doubts / emails flagged possible_duplicate", f"{total.doubts} / {total.flagged}")
        figure("doubts of one kill, at most", at_one_kill)
        figure("emails the upstream took twice, all flagged", total.twice)
        figure("doubts whose dot had not left after all", total.unsent_dots)
        figure("kill to next message relayed, modules loaded", seconds(score.warm))
        figure("kill to next message relayed, new interpreter", seconds(score.cold))


def in_doubt_together(emails: Sequence[Any]) -> int:
    """Return the numbers of attempts that each kill left in doubt, by the time of recovery."""
    attempts = [attempt for email in emails for attempt in email["relay"]["attempts"]]
    return max(Counter(attempt["ended_at"] for attempt in attempts if attempt["in_doubt"]).values(), default=0)


def check_doubt_by_phase(struck: Sequence[tuple[Point, str]], emails: Mapping[str, Any]) -> None:
    """Check that an attempt killed at RCPT or DATA is in no doubt, and one after the whole message is."""
    for point, address in struck:
        attempts = emails[address]["relay"]["attempts"] if address in emails else ()
        if point in (Point.RCPT, Point.DATA) and attempts:
            assert any(attempt["failure"] and not attempt["in_doubt"] for attempt in attempts), (point, address)
        if point in (Point.DOT, Point.ACCEPTED) and attempts:
            assert any(attempt["in_doubt"] for attempt in attempts), (point, address)


def seconds(times: Sequence[float]) -> str:
    """Return median and maximum as text."""
    if not times:
        return "none undisturbed"
    return f"median {statistics.median(times):.2f} s, max {max(times):.2f} s (n={len(times)})"
