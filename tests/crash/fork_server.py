"""Program that starts `postern serve` processes on command, and ends with its parent, and they with it.

Those with a faster clock (tests/replicas) are started the same way: no setting compresses time.

A start costs more than a second, nearly all of it imports. Here they are made once, and every start is a fork of
that, or a whole new interpreter when asked for. One line of JSON in, the process id out.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

from app import main
from app.__main__ import main as postern
from app.cli.exit_codes import run
from app.clock import Clock
from app.relay.coordinator import HeartbeatConfig
from app.settings import Settings, load

_PR_SET_PDEATHSIG = 1


def execute_commands() -> None:
    """Execute commands until the input ends."""
    gc.freeze()  # the children share what was imported
    parent = os.getpid()
    print("ready", flush=True)
    for line in sys.stdin:
        _reap()
        pid = os.fork()
        if pid == 0:
            _serve(json.loads(line), parent)
        print(pid, flush=True)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _serve(order: dict[str, Any], parent: int) -> NoReturn:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
    os.dup2(2, 1)
    environment: dict[str, str] = order["environment"]
    if order["cold"]:
        os.execve(sys.executable, [sys.executable, "-m", "app", "serve"], {**os.environ, **environment})
    os.environ.update(environment)
    sys.argv = ["postern", "serve"]
    status = 1
    try:
        if time := order.get("time"):
            serve_in(**time)
        else:
            postern()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()  # into the log of the child
    finally:
        sys.stderr.flush()
        os._exit(status)


def serve_in(speed: float, origin: float, beat: float, lease: float) -> None:
    """Run `postern serve` on another clock with another heartbeat."""
    settings = load(Settings)
    main.configure_logs(settings)
    run(main.serve(settings, Clock(speed, origin), HeartbeatConfig(beat, lease)))


if __name__ == "__main__":
    execute_commands()
