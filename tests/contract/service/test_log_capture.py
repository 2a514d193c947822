"""Everything that a process writes to standard error is a line of the log, from every library."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
import uvloop
from app import logs
from app.logs import capture

logs.configure(human=HUMAN)
capture.install()

logging.getLogger("sqlalchemy.pool").warning("the pool said %s", "ESC\\x1b[2J")
logging.getLogger("httpx").error("%d is no number", "text")
logging.getLogger("httpcore").info("Authorization: never")
try:
    raise KeyError("first")
except KeyError:
    logging.getLogger("msal").exception("it failed")
warnings.warn("old way")

def fail(what):
    raise ValueError(what)

thread = threading.Thread(target=fail, args=("in a thread",), name="worker-7")
thread.start()
thread.join()

async def callbacks():
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, "in a callback")
    task = loop.create_task(task_that_fails())
    await asyncio.wait({task})
    del task
    gc.collect()

async def task_that_fails():
    raise ValueError("in a task")

asyncio.run(callbacks())
uvloop.run(callbacks())

class Finalized:
    def __del__(self):
        raise ValueError("in a finalizer")

Finalized()
raise ValueError("at the end")
"""


def written(human: bool) -> str:
    """Return the program's standard error."""
    line = [sys.executable, "-c", PROGRAM.replace("HUMAN", str(human))]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60).stderr


def test_records_warnings_and_exceptions_are_json_lines() -> None:
    """With the traceback in one member."""
    lines = [json.loads(line) for line in written(human=False).splitlines()]
    assert {line["event"] for line in lines} == {"library", "crashed"}
    logged = {(line.get("logger") or line.get("where")): line for line in lines}
    assert logged["sqlalchemy.pool"]["message"] == "the pool said ESC\x1b[2J"
    assert logged["httpx"] | {"level": "error", "message": "%d is no number"} == logged["httpx"]
    assert "first" in logged["msal"]["exception"]
    assert "old way" in logged["py.warnings"]["message"]
    assert "Authorization" not in json.dumps(lines)
    assert "in a thread" in logged["thread worker-7"]["exception"]
    assert "at the end" in logged["main thread"]["exception"]
    of_loops = [line["exception"] for line in lines if line.get("logger") == "asyncio"]
    assert ["ValueError: in a callback" in one for one in of_loops].count(True) == 2
    assert ["ValueError: in a task" in one for one in of_loops].count(True) == 2
    assert any("in a finalizer" in line.get("exception", "") for line in lines)


def test_lines_for_a_terminal_are_escaped() -> None:
    text = written(human=True)
    assert "\x1b[2J" not in text
    assert "ESC" in text
    assert "ValueError: at the end" in text


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01", b"\x00" * 50, b"GET\x1b / HTTP/9\r\n\r\n", b"EHLO x\r\n"]
)
def test_bytes_that_are_not_http_are_a_json_line(tmp_path: Path, data: bytes) -> None:
    """From the first line to the last."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("POSTERN_")},
        "POSTERN_DATA_DIR": str(tmp_path),
        "POSTERN_PORT": str(port),
        "POSTERN_LOG_FORMAT": "json",
        "POSTERN_MAILBOX": "noreply@contoso.com",
        "POSTERN_PASSWORD": "x",
        "POSTERN_SMTP_HOST": "127.0.0.1",
        "POSTERN_HOST": "127.0.0.1",
        "POSTERN_SMTP_PORT": "1",
    }
    line = [sys.executable, "-m", "app", "serve"]
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            while not lines or json.loads(lines[-1])["event"] != "started":
                lines.append(process.stderr.readline())
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(data)
                caller.shutdown(socket.SHUT_WR)
                assert caller.recv(100).startswith(b"HTTP/1.1 400")
        finally:
            process.terminate()
        lines += process.stderr.read().splitlines()
    events = [json.loads(one) for one in lines]
    assert [event["event"] for event in events][-1] == "stopped"
    assert [event["message"] for event in events if event.get("logger") == "uvicorn.error"]
