"""Output for programs: JSON of commands that change something, TSV of lists, and completion in a shell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.cli.test_command_line import UNKNOWN_ID, postern, store_message
from tests.contract.cli.test_keys_command import create

REPLY = "COMP_WORDS=({words}); COMP_CWORD={last}; _postern_completion postern; echo ${{COMPREPLY[@]}}"


@pytest.mark.parametrize(
    ("verb", "state", "after"),
    [("retry", "held", "queued"), ("cancel", "queued", "cancelled"), ("confirm", "held", "done")],
)
def test_changed_emails_as_json(tmp_path: Path, verb: str, state: str, after: str) -> None:
    """Those that were changed are listed, also if the command fails for another."""
    id = store_message(tmp_path, state)
    result = postern(tmp_path, "emails", verb, id, UNKNOWN_ID, "--json")
    assert json.loads(result.stdout) == [{"id": str(id), "state": after}]
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert str(UNKNOWN_ID) in result.stderr


def test_a_changed_key_as_json(tmp_path: Path) -> None:
    """As `postern keys show` has it, and without its secret."""
    id = create(tmp_path)["id"]
    [updated] = json.loads(postern(tmp_path, "keys", "update", id, "--strict", "--per-day", 7, "--json").stdout)
    assert (updated["id"], updated["strict"], updated["messages_per_day"]) == (id, True, 7)
    [revoked] = json.loads(postern(tmp_path, "keys", "revoke", id, "--json").stdout)
    assert revoked["revoked_at"] is not None
    assert not {"key", "secret"} & revoked.keys()


def test_erased_emails_as_json(tmp_path: Path) -> None:
    """The erased ones by id, or their number by address; the command still fails for another."""
    id = store_message(tmp_path, "failed")
    result = postern(tmp_path, "emails", "erase", id, UNKNOWN_ID, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"erased": [str(id)], "file_rewritten": True})
    by_address = postern(tmp_path, "emails", "erase", "--address", "nobody@example.net", "--json")
    assert json.loads(by_address.stdout) == {"erased_count": 0, "not_finished": [], "file_rewritten": True}


def test_changed_suppressions_as_json(tmp_path: Path) -> None:
    """`add` and `remove` have the entries as the list has them, `import` the number."""
    postern(tmp_path, "keys", "create", "shop")
    [added] = json.loads(postern(tmp_path, "suppressions", "add", "ada@example.net", "--json").stdout)
    assert [added] == json.loads(postern(tmp_path, "suppressions", "list", "--json").stdout)
    assert json.loads(postern(tmp_path, "suppressions", "remove", "ada@example.net", "--json").stdout) == [added]
    file = tmp_path / "list.txt"
    file.write_text("ada@example.net\nbob@example.net\n")
    assert json.loads(postern(tmp_path, "suppressions", "import", file, "--json").stdout) == {"suppressed_count": 2}


def test_a_backup_and_its_restore_as_json(tmp_path: Path) -> None:
    """The file, and the number of emails that are held."""
    store_message(tmp_path, "queued")
    file = tmp_path / "backup.db"
    assert json.loads(postern(tmp_path, "backup", file, "--json").stdout) == {"file": str(file)}
    assert json.loads(postern(tmp_path, "restore", file, "--json").stdout) == {"held_count": 1}


def test_every_command_that_changes_something_has_json() -> None:
    """The help of each has the option."""
    groups = {
        "emails": ("list", "show", "retry", "cancel", "confirm", "erase"),
        "keys": ("create", "list", "show", "update", "rotate", "revoke"),
        "mailboxes": ("list", "hold", "release", "cut-over"),
        "suppressions": ("list", "get", "add", "remove", "import"),
    }
    commands = [(group, name) for group, names in groups.items() for name in names]
    for words in (*commands, ("audit",), ("backup",), ("check",), ("migrate",), ("restore",), ("send",)):
        assert "--json" in postern(Path(), *words, "--help").stdout, words


def test_the_revision_as_json(tmp_path: Path) -> None:
    """`migrate` has the revision, `migrate --check` both, and its exit code."""
    postern(tmp_path, "keys", "create", "shop")
    revision = json.loads(postern(tmp_path, "migrate", "--json").stdout)["revision"]
    checked = postern(tmp_path, "migrate", "--check", "--json")
    assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"revision": revision, "newest": revision})


def test_lists_are_tsv_for_a_program(tmp_path: Path) -> None:
    """One line a row with as many fields as columns, whatever a name has in it."""
    ids = [create(tmp_path)["id"], create(tmp_path)["id"]]
    postern(tmp_path, "suppressions", "add", "ada@example.net")
    keys = [line.split("\t") for line in postern(tmp_path, "keys", "list").stdout.splitlines()]
    assert {fields[0] for fields in keys} == set(ids)
    assert {len(fields) for fields in keys} == {6}
    [line] = postern(tmp_path, "suppressions", "list").stdout.splitlines()
    assert "ada@example.net" in line.split("\t")
    assert {line.count("\t") for line in postern(tmp_path, "audit").stdout.splitlines()} == {5}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion_in_bash(tmp_path: Path) -> None:
    """`--install-completion` writes to the home folder; bash then completes commands, subcommands and options."""
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    postern = Path(sys.executable).with_name("postern")
    # The shell is the one that the command is started from, so it must not be replaced by the command.
    install = f"{postern} --install-completion; exit $?"
    subprocess.run(["bash", "-c", install], env=environment, check=True, capture_output=True)
    [script] = (tmp_path / ".bash_completions").iterdir()
    assert str(script) in (tmp_path / ".bashrc").read_text("utf-8")
    for words, completed in (
        ("postern em", "emails"),
        ("postern emails re", "retry"),
        ("postern send --sub", "--subject"),
    ):
        line = REPLY.format(words=words, last=words.count(" "))
        done = subprocess.run(
            ["bash", "-c", f"source {script}; {line}"], env=environment, check=True, capture_output=True, text=True
        )
        assert done.stdout.split() == [completed], done.stderr
