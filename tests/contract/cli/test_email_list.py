"""`postern emails list`: columns, filters, TSV; and prefixes of ids in the other commands."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.mail.message.message import MessageSummary, OnUnknown
from app.store import Store
from app.store.db.uuid7 import IdGenerator
from app.store.keys.records import Key, Permission
from tests.contract.cli.test_command_line import failed, postern, stored
from tests.contract.store import build

SHOP = Key(uuid4(), "shop", Permission.SENDING_ACCESS, build.NOW)
SITE = Key(uuid4(), "web site", Permission.SENDING_ACCESS, build.NOW)
DAY = 86_400.0
IDS = IdGenerator()
SENT, REFUSED, HELD, WAITING = (IDS.new(build.NOW - DAY * days) for days in (3, 2, 1, 0))
TWIN = UUID(int=WAITING.int + 1)


async def fill(store: Store) -> None:
    """Store one email for each event, of two keys."""
    for key in (SHOP, SITE):
        await store.create_key(key, key.id.bytes)
    outcomes = {SENT: build.RELAYED, REFUSED: build.REFUSED, HELD: build.LOST}
    for id, subject in ((SENT, "Receipt 1"), (REFUSED, "Receipt\t2\nforged"), (HELD, "Invoice")):
        await build.accept(store, acceptance(id, SHOP, subject))
        await build.settle(store, await build.claim_one(store), outcomes[id])
    await build.accept(store, acceptance(WAITING, SITE, "News"), acceptance(TWIN, SITE, "News"))


def acceptance(id: UUID, key: Key, subject: str) -> Any:
    """Return an email of this key to store."""
    head = MessageSummary("a@contoso.com", (f"{subject[:4]}@example.com",), subject, tags=(("kind", subject[:4]),))
    email = build.acceptance(id=id, key_id=key.id, head=head, on_unknown=OnUnknown.HOLD)
    return replace(email, created_at=(id.int >> 80) / 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a filled store."""
    path = tmp_path_factory.mktemp("list")
    stored(path, fill)
    return path


def listed(folder: Path, *options: object) -> list[dict[str, Any]]:
    """Return the JSON of the list."""
    result = postern(folder, "emails", "list", *options, "--json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_the_event_is_that_of_the_api(folder: Path) -> None:
    """A refused email is `failed`, one that waits for a decision `held`, and both have a reason."""
    rows = {row["id"]: row for row in listed(folder)}
    assert list(rows) == [str(id) for id in (TWIN, WAITING, HELD, REFUSED, SENT)]
    assert [row["event"] for row in rows.values()][2:] == ["held", "failed", "sent"]
    assert [row["state"] for row in rows.values()][2:] == ["held", "done", "done"]
    assert [row["key"] for row in rows.values()] == ["web site", "web site", "shop", "shop", "shop"]
    refused, sent = rows[str(REFUSED)], rows[str(SENT)]
    assert (refused["last_event"], refused["key_id"]) == ("failed", str(SHOP.id))
    assert refused["reason"]
    assert sent["reason"] == ""


def test_without_a_terminal_each_email_is_one_line_of_fields(folder: Path) -> None:
    """TSV without a heading. TAB and line ends in a subject are escaped."""
    lines = postern(folder, "emails", "list").stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    assert [len(one) for one in fields] == [7] * 5
    (row,) = (one for one in fields if one[0] == str(REFUSED))
    shown = next(one for one in listed(folder) if one["id"] == str(REFUSED))
    assert row[1:6] == ["failed", shown["to"].replace("\t", "\\t"), r"Receipt\t2\nforged", "shop", shown["created_at"]]


def test_states_have_colours_and_times_are_relative_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    """In the list of emails, and in the audit."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"FORCE_COLOR": "1", "COLUMNS": "200", "TERM": "xterm"}

    def shown(data: Path, *words: str) -> str:
        line = [sys.executable, "-m", "app", *words]
        variables = {**environment, "POSTERN_DATA_DIR": str(data)}
        return subprocess.run(line, env=variables, capture_output=True, text=True, check=True).stdout

    emails = shown(folder, "emails", "list")
    for colour, event in ((31, "failed"), (31, "held"), (32, "sent")):
        assert re.search(rf"\x1b\[{colour}m{event} *\x1b", emails), event
    postern(tmp_path, "keys", "create", "shop")
    assert re.search(r"\d+[smhd] ago", shown(tmp_path, "audit"))


def test_an_empty_list_has_no_line(folder: Path) -> None:
    """The sentence for people is on standard error."""
    result = postern(folder, "emails", "list", "--subject", "nothing like it")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No emails.\n")


def test_a_terminal_gets_a_table_with_complete_ids(folder: Path) -> None:
    """A heading, then one line an email; ids, events and ages are never folded or cut."""
    environment = {**os.environ, "POSTERN_DATA_DIR": str(folder), "FORCE_COLOR": "1", "NO_COLOR": "1"}
    environment |= {"COLUMNS": "80", "TERM": "dumb"}
    line = [sys.executable, "-m", "app", "emails", "list"]
    written = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout
    heading, *rows = written.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert heading.split()[:2] == ["id", "event"]
    assert [row.split()[0] for row in rows] == [str(id) for id in (TWIN, WAITING, HELD, REFUSED, SENT)]
    assert [row.split()[1] for row in rows][2:] == ["held", "failed", "sent"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--event", "failed"), [REFUSED]),
        (("--event", "held"), [HELD]),
        (("--event", "SENT"), [SENT]),
        (("--state", "done"), [REFUSED, SENT]),
        (("--subject", "receipt"), [REFUSED, SENT]),
        (("--tag", "kind:Invo"), [HELD]),
        (("--from", "A@contoso.com", "--event", "failed"), [REFUSED]),
        (("--from", "b@contoso.com"), []),
        (("--to", "B@example.com", "--event", "sent"), [SENT]),
        (("--key", "shop", "--limit", 2), [HELD, REFUSED]),
        (("--key", SITE.id), [TWIN, WAITING]),
        (("--key", "shop", "--event", "failed"), [REFUSED]),
        (("--until", "2026-11-23T20:08:28Z"), None),
    ],
)
def test_filters(folder: Path, options: tuple[object, ...], expected: list[UUID] | None) -> None:
    """Each option selects; several are combined."""
    found = [UUID(row["id"]) for row in listed(folder, *options)]
    if expected is None:
        expected = [row for row in (TWIN, WAITING, HELD, REFUSED, SENT) if (row.int >> 80) / 1000 < 1_795_464_508]
    assert found == expected


def test_times(folder: Path) -> None:
    """`--since` and `--until` take a time, or an age."""
    at = next(row["created_at"] for row in listed(folder) if row["id"] == str(HELD))
    assert [row["id"] for row in listed(folder, "--since", at, "--event", "held")] == [str(HELD)]
    assert [row["id"] for row in listed(folder, "--until", at)] == [str(REFUSED), str(SENT)]
    assert len(listed(folder, "--since", "90000d")) == 5
    assert listed(folder, "--until", "90000d") == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--event", "opened"), "It must be one of held, queued"),
        (("--to", "nobody"), "--to"),
        (("--since", "yesterday"), "It must be an age such as 90m"),
        (("--tag", "a b"), "It must be the name of a tag"),
        (("--key", "unknown"), "There is no key unknown; see: postern keys list"),
    ],
)
def test_invalid_filters(folder: Path, options: tuple[str, ...], text: str) -> None:
    """Exit code 2, and a sentence."""
    result = postern(folder, "emails", "list", *options)
    assert result.exit_code == 2
    assert text in " ".join(result.stderr.replace("│", " ").split())


def test_a_prefix_of_an_id(folder: Path) -> None:
    """A prefix with one email is its id, in any case and with or without hyphens."""
    for prefix in (str(HELD)[:13], str(HELD)[:13].replace("-", "").upper(), str(HELD)[:-1], HELD.hex):
        result = postern(folder, "emails", "show", prefix, "--json")
        assert json.loads(result.stdout)[0]["id"] == str(HELD), result.output


@pytest.mark.parametrize("verb", ["show", "retry", "cancel", "confirm", "erase"])
def test_an_ambiguous_prefix(folder: Path, verb: str) -> None:
    """The error lists the candidates, and nothing is changed."""
    before = listed(folder)
    failed(postern(folder, "emails", verb, str(WAITING)[:-2]), 1, f"give more of it: {TWIN} {WAITING}\n")
    failed(postern(folder, "emails", verb, "ffff"), 1, "there is no email with an id that begins with ffff")
    assert listed(folder) == before


def test_completion_is_installed(tmp_path: Path) -> None:
    """`--install-completion` adds it to the shell of the caller, where it completes commands and options."""
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "SHELL": bash}

    def run(script: str) -> str:
        return subprocess.run(
            [bash, "-c", script], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout

    run("postern --install-completion bash; true")
    complete = "source ~/.bash_completions/postern.sh; _postern_completion postern; echo ${COMPREPLY[@]}"
    assert "source " in (tmp_path / ".bashrc").read_text()
    assert run(f"COMP_WORDS=(postern emails co); COMP_CWORD=2; {complete}").split() == ["confirm"]
    assert "--since" in run(f"COMP_WORDS=(postern emails list --s); COMP_CWORD=3; {complete}").split()
