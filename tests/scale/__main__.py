"""`python -m tests.scale`: the simulation in virtual time and the steps in real time. Status 1: a bound is exceeded."""

import json
import signal
import sys
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from app import logs
from tests import postgres
from tests.scale import report
from tests.scale.probe import OPTIONS
from tests.scale.shape import Shape
from tests.scale.steps import increase
from tests.scale.virtual import Outcome, simulate

WHOLE, WHOLE_SECONDS = Shape(mailboxes=1000, replicas=20, pools=20), 20.0
QUICK, QUICK_SECONDS = Shape(mailboxes=50, replicas=4, pools=4), 20.0


def scale(
    quick: Annotated[
        bool, typer.Option("--quick", help="50 mailboxes, 4 replicas, no ladder: less than a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output instead of the tables.")] = False,
) -> None:
    """Simulate many mailboxes and replicas on their own PostgreSQL server on loopback."""
    logs.configure(human=True, level="critical")
    if (programs := postgres.programs()) is None:
        sys.exit(
            "make simulate-scale needs PostgreSQL (Debian: apt-get install postgresql), or POSTGRES_BIN: where it is"
        )
    with postgres.running(programs, OPTIONS) as server:
        shape, seconds = (QUICK, QUICK_SECONDS) if quick else (WHOLE, WHOLE_SECONDS)
        outcome = simulate(server.create_database(), shape, seconds)
        rungs = [] if quick else increase(server)
    if as_json:
        print(json.dumps({"virtual": _plain(outcome), "ladder": [asdict(rung) for rung in rungs]}, indent=2))
    else:
        report.show(outcome, rungs)
    if broken := report.broken(outcome):
        sys.exit("\n".join(broken))


def _plain(outcome: Outcome) -> dict[str, object]:
    """Convert to plain values; `asdict` would count a Counter's items instead of copying them."""
    phases = [{**vars(phase), "reading": dict(phase.reading)} for phase in outcome.phases]
    return {**vars(outcome), "shape": asdict(outcome.shape), "phases": phases}


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # so that the server ends too


if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        sys.exit("make simulate-scale needs Linux: it reads CPU time from /proc")
    signal.signal(signal.SIGTERM, _interrupted)
    typer.run(scale)
