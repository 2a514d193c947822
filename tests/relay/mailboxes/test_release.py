"""Release of a mailbox makes a real login."""

from app.simulator import Fault, Point, Say
from tests.harness import MAILBOX, Harness


async def test_a_release_after_a_refused_login_logs_in_again(harness: Harness) -> None:
    """The shared result of the refused login is not used."""
    harness.simulator.faults.add(Fault(at=Point.AUTH, do=Say("535 5.7.3 Authentication unsuccessful"), times=1))
    id = await harness.post()
    await harness.until_health("held")
    answer = await harness.caller.post(f"/mailboxes/{MAILBOX}/release")
    assert answer.status_code == 200
    await harness.until(id, "done")
    assert [login.ok for login in harness.simulator.logins] == [False, True]
