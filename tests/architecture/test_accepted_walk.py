"""Modules of the application through which one simple email goes before its 200; app/DESIGN.md names them."""

import sys
import threading
from pathlib import Path
from types import FrameType

from app import logs
from app.simulator import Simulator
from tests.harness import ACCOUNT, MAILBOX, open_harness, settings_for

MODULES = 25  # lower it if it has fallen
SERVER = "app.http_server.server"
REQUESTS = 5


class Walk:
    """Modules of the application of which a function is called, in any thread, from a request's arrival to its answer.

    Made before the threads, as a profile function is.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._state = "ready"

    def __call__(self, frame: FrameType, kind: str, _: object) -> None:
        if kind != "call" or self._state == "answered":
            return
        module, function = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        if (module, function) == (SERVER, "data_received"):
            self._state = "arrived"
        if self._state == "arrived" and module.startswith("app."):
            self.modules.add(module)
        if self._state == "arrived" and (module, function) == (SERVER, "on_response_complete"):
            self._state = "answered"

    def again(self) -> set[str]:
        """Return the modules, and begin with the next request."""
        found, self.modules, self._state = self.modules, set(), "ready"
        return found


async def test_a_simple_email_passes_few_modules(tmp_path: Path) -> None:
    """The number is bounded. Only what all of several requests have counts, because other work may run between."""
    walk = Walk()
    threading.setprofile(walk)
    try:
        async with (
            Simulator(accounts=[ACCOUNT]) as simulator,
            open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
        ):
            logs.configure(human=False)
            await harness.caller.post(f"/mailboxes/{MAILBOX}/hold")
            await harness.until_health("held")
            await harness.post()
            walks = []
            for _ in range(REQUESTS):
                walk.again()
                sys.setprofile(walk)
                await harness.post()
                sys.setprofile(None)
                walks.append(walk.again())
    finally:
        threading.setprofile(None)
    passed = set.intersection(*walks)
    print(*sorted(passed), sep="\n")
    assert {SERVER, "app.api.submission.pipeline", "app.store.queue.accept"} <= passed
    assert len(passed) <= MODULES
