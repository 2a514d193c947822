"""Output of every command for values with markup, terminal control sequences and invisible characters."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from typer.testing import CliRunner

from app.cli import application, check
from app.cli.exit_codes import Exit
from app.cli.output import demo, findings
from app.cli.output.terminal import console
from app.doctor.finding import Finding, Step, StepOutcome
from app.mail.key_policy import Policy
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.message.message import Envelope, Message, MessageSummary
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase, Reply
from app.mail.outcome.verdict import Explanation
from app.store import Store
from app.store.keys.audit import Actor
from app.store.keys.records import Key, Permission
from app.store.mailboxes.records import HoldRequest
from tests.contract.cli.test_command_line import postern, stored
from tests.contract.store import build

MARKUP = "[/b] order [red]x[/] [link=http://evil.example]y[/link] :warning:"
CONTROLS = "\x1b[2J\x1b]8;;http://evil.example\x1b\\z\x9b3m\x7f\x07 a\u202eb\u2066\u200b\u2028 \U000e0041"
SHOWN = "\\x1b[2J\\x1b]8;;http://evil.example\\x1b\\z\\x9b3m\\x7f\\x07 a\\u202eb\\u2066\\u200b\\u2028 \\U000e0041"
HOSTILE = MARKUP + CONTROLS
FORGED = "x\nforged line\r\nand another"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
EMAIL = build.new_id()
KEY = Key(uuid4(), HOSTILE, Permission.SENDING_ACCESS, build.NOW, Policy(senders=(HOSTILE,), default_sender=HOSTILE))


def without_space(text: str) -> str:
    """Return the text without white space, because lines are wrapped."""
    return re.sub(r"\s", "", text)


def assert_safe(text: str) -> None:
    """Assert that the text is complete and has no control characters."""
    assert not UNSAFE.findall(text)
    assert without_space(MARKUP) in without_space(text)
    assert without_space(SHOWN) in without_space(text)


def columns_joined(tsv: str) -> str:
    """Return the text without the tabs between columns; each line has as many columns as the others."""
    assert len({line.count("\t") for line in tsv.splitlines()}) == 1
    return tsv.replace("\t", " ")


def texts(value: Any) -> list[str]:
    """Return all strings in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value.values()]
    return [text for one in value for text in texts(one)] if isinstance(value, list) else []


async def fill(store: Store) -> None:
    """Store an email with attempts, a key, a mailbox and audit records, with hostile values in each text."""
    envelope = Envelope("a@contoso.com", (f"{HOSTILE}@example.com",))
    message = Message(envelope, "id@contoso.com", build.CONTENT)
    head = MessageSummary(HOSTILE, (HOSTILE,), HOSTILE, tags=((HOSTILE, HOSTILE),))
    await build.accept(store, build.acceptance(id=EMAIL, message=message, head=head))
    attempt = Attempt(Phase.DOT, failure=Failure(Phase.DOT, FailureKind.CLOSED, HOSTILE))
    await build.settle(store, await build.claim_one(store), attempt)
    refused = build.acceptance(message=message, head=head)
    await build.accept(store, refused)
    (claimed,) = await build.claim(store, now=build.NOW)
    await build.settle(store, claimed, Attempt(Phase.DOT, Reply.of(550, [f"5.7.1 {HOSTILE}"])))
    await store.create_key(KEY, b"digest", Actor(HOSTILE))
    held = MailboxCondition(Health.HELD, build.NOW, explanation=Explanation(HOSTILE, HOSTILE))
    await store.save_condition(build.MAILBOX, HOSTILE, held)
    assert await store.request_hold(build.MAILBOX, HoldRequest(build.NOW, hold=True, reason=HOSTILE), Actor(HOSTILE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a fill store."""
    path = tmp_path_factory.mktemp("hostile")
    stored(path, fill)
    return path


@pytest.fixture
def wide() -> Iterator[None]:
    """Terminal that is wide enough for every cell."""
    before = console.width
    console.width = 3000
    yield
    console.width = before


@pytest.mark.parametrize(
    "command",
    [
        ("emails", "list"),
        ("emails", "show", EMAIL),
        ("keys", "list"),
        ("keys", "show", KEY.id),
        ("audit",),
        ("mailboxes", "list"),
    ],
    ids=lambda command: " ".join(map(str, command[:2])),
)
def test_tables_are_escaped(folder: Path, command: tuple[object, ...], wide: None) -> None:
    """Brackets are printed, control characters are escaped, and JSON has the exact value."""
    result = postern(folder, *command)
    assert result.exit_code == 0, result.output
    is_tsv = command[-1] in ("list", "audit")
    assert_safe((columns_joined(result.stdout) if is_tsv else result.stdout) + result.stderr)
    json_text = postern(folder, *command, "--json")
    assert not UNSAFE.findall(json_text.stdout)
    assert any(HOSTILE in text for text in texts(json.loads(json_text.stdout)))


def test_attempts_are_escaped(folder: Path) -> None:
    """Replies and details of a lost connection are escaped."""
    assert "no reply: closed, [/b] order [red]x[/]" in " ".join(postern(folder, "emails", "show", EMAIL).stdout.split())
    failed = json.loads(postern(folder, "emails", "list", "--state", "done", "--json").stdout)[0]["id"]
    assert_safe(postern(folder, "emails", "show", failed).stdout)


def test_a_value_cannot_forge_a_line_of_a_table(tmp_path: Path) -> None:
    """A line end in a value is escaped."""

    async def named(store: Store) -> None:
        await store.create_key(Key(UUID(int=5), FORGED, Permission.FULL_ACCESS, 0.0), b"5", Actor("a\x1b"))

    stored(tmp_path, named)
    for command in (("keys", "list"), ("keys", "show", UUID(int=5)), ("audit",)):
        written = postern(tmp_path, *command).stdout
        assert not [line for line in written.splitlines() if line.strip().startswith(("forged", "and another"))]
    assert "x\\nforged line\\r\\nand another" in " ".join(postern(tmp_path, "keys", "show", UUID(int=5)).stdout.split())


@pytest.mark.parametrize(
    "command",
    [
        ("emails", "show", HOSTILE),
        ("emails", "list", "--state", HOSTILE),
        (HOSTILE,),
        ("emails", f"--{HOSTILE}"),
        ("check", "--send-test", HOSTILE),
        ("check", "--egress", HOSTILE),
        ("check", "--mailbox", HOSTILE),
        ("keys", "create", "x", "--senders", HOSTILE),
        ("keys", "create", "x", "--lanes", HOSTILE),
        ("keys", "create", "x", "--redirect-to", HOSTILE),
        ("mailboxes", "hold", HOSTILE),
        ("mailboxes", "hold", build.MAILBOX, "--reason", HOSTILE),
        ("simulate", "--faults", HOSTILE),
        ("backup", f"/dev/null/{HOSTILE}"),
        ("restore", f"/dev/null/{HOSTILE}"),
        ("serve", "--role", HOSTILE),
        ("send", "a@example.com", "--from", "b@contoso.com", "--key", "k", "--url", f"http://127.0.0.1:1/{HOSTILE}"),
    ],
    ids=lambda command: "-".join(str(one)[:12] for one in command if not str(one).startswith("[")) or "name",
)
def test_usage_errors_are_escaped(folder: Path, command: tuple[object, ...]) -> None:
    """Usage errors quote arguments, which may come from `xargs`."""
    result = postern(folder, *command)
    assert result.exit_code in (1, 2, 69, 78), result.output
    assert not UNSAFE.findall(result.output.replace("\r", ""))
    assert "Traceback" not in result.output


class _Answering(BaseHTTPRequestHandler):
    """HTTP handler of a server that is not trusted."""

    def do_POST(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(status, "No")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Answering) as listening:
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "body"), [(200, {"id": HOSTILE}), (422, {"message": HOSTILE + "\nforged"})])
def test_responses_in_send_are_escaped(server: HTTPServer, status: int, body: dict[str, str]) -> None:
    """An id and an error message are escaped."""
    server.answer = (status, body)  # type: ignore[attr-defined]
    line = ["send", "a@example.com", "--from", "b@contoso.com", "--key", "k"]
    result = CliRunner().invoke(application, [*line, "--url", f"http://127.0.0.1:{server.server_port}"])
    assert_safe(result.output)
    assert result.output.count("\n") == 1


def test_findings_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Headings, summaries, facts and fixes are escaped."""
    finding = Finding(Step.AUTH, StepOutcome.FAILED, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, HOSTILE)
    page = findings.FindingPrinter({HOSTILE: HOSTILE, "another": "pool"})
    page.show(finding)
    with pytest.raises(typer.Exit):
        check.finish([finding], Exit.FAILED, as_json=False)
    written = capsys.readouterr().out
    assert_safe(written)
    assert written.count("[link=http://evil.example]") == 2 + 2 + 5
    with pytest.raises(typer.Exit):
        check.finish([finding], Exit.FAILED, as_json=True)
    json_text = capsys.readouterr().out
    assert not UNSAFE.findall(json_text)
    assert json.loads(json_text)[0]["summary"] == HOSTILE


def test_the_demo_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Request, dialogue and received email are escaped."""
    recipient = {"address": HOSTILE, "state": "relayed"}
    explanation = {"summary": HOSTILE, "fix": HOSTILE}
    relay = {"attempts": [{"dialogue": [f"S: {HOSTILE}"]}], "recipients": [recipient], "explanation": explanation}
    message = EmailMessage()
    message["Subject"] = MARKUP
    message["To"] = "a@example.com"
    message.set_content(HOSTILE)
    demo.title()
    demo.step(HOSTILE, HOSTILE)
    demo.request("http://127.0.0.1", {"subject": HOSTILE})
    demo.response(200, {"id": HOSTILE}, 0.1)
    demo.dialogue({"relay": relay})
    demo.arrived(message.as_bytes())
    demo.further_arrival(message.as_bytes())
    demo.next_steps("http://127.0.0.1", "http://127.0.0.1", "pst_x", HOSTILE, HOSTILE)
    assert_safe(capsys.readouterr().out)


def test_a_terminal_gets_only_styles(folder: Path) -> None:
    """In colour, the output has no escape sequences except styles."""
    environment = {
        **os.environ,
        "POSTERN_DATA_DIR": str(folder),
        "FORCE_COLOR": "1",
        "COLUMNS": "3000",
        "TERM": "xterm",
    }
    line = [sys.executable, "-m", "app", "emails", "show", str(EMAIL)]
    written = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout
    plain = re.sub("\x1b\\[[0-9;]*m", "", written)
    assert plain != written
    assert_safe(plain)
