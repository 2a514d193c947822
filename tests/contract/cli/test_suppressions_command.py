"""`postern suppressions`: list, add, get, remove, import."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from tests.contract.cli.test_command_line import UNKNOWN_ID, email, failed, postern, store_message, stored


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> None:
    """Empty database in the folder of the test."""
    stored(tmp_path, lambda store: store.write_probe())


def output(folder: Path, *words: str) -> str:
    """Return the output of a command, which must succeed."""
    result = postern(folder, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(folder: Path, *words: str) -> dict[str, str]:
    """Return the origins by address."""
    printed = output(folder, "suppressions", "list", "--json", *words)
    return {one["email"]: one["origin"] for one in json.loads(printed)}


def test_a_retry_names_the_recipients_that_stay_suppressed(tmp_path: Path) -> None:
    """Beside the queued email; as JSON, too."""
    first, second = store_message(tmp_path, "failed"), store_message(tmp_path, "failed")
    (recipient,) = email(tmp_path, first).recipients
    output(tmp_path, "suppressions", "add", recipient.address)
    queued, left_out = output(tmp_path, "emails", "retry", str(first)).splitlines()
    assert queued.startswith(f"{first} is queued again")
    assert f"not sent to: {recipient.address}. To lift it" in left_out
    (changed,) = json.loads(output(tmp_path, "emails", "retry", str(second), "--json"))
    assert changed == {"id": str(second), "state": "queued", "suppressed": [recipient.address]}


def test_addresses_are_added_read_and_removed(tmp_path: Path) -> None:
    """By address or id, in any case."""
    assert "The suppression list is empty." in output(tmp_path, "suppressions", "list")
    added = output(tmp_path, "suppressions", "add", "Anna@Example.com", "bob@example.net")
    assert added == "anna@example.com is suppressed\nbob@example.net is suppressed\n"
    output(tmp_path, "suppressions", "add", "carl@example.net", "--origin", "complaint")
    assert listed(tmp_path, "--origin", "complaint") == {"carl@example.net": "complaint"}
    [one] = json.loads(output(tmp_path, "suppressions", "get", "ANNA@example.com", "--json"))
    assert (str(UUID(one["id"])), one["evidence"]) == (one["id"], None)
    gone = output(tmp_path, "suppressions", "remove", one["id"], "BOB@example.net")
    assert gone.splitlines() == [
        "bob@example.net is not suppressed any more",
        "anna@example.com is not suppressed any more",
    ]
    assert [*listed(tmp_path)] == ["carl@example.net"]


@pytest.mark.parametrize("words", [("get", UNKNOWN_ID), ("remove", "nobody@example.com")])
def test_an_unknown_entry_is_a_failure(tmp_path: Path, words: tuple[str, ...]) -> None:
    """With the command that lists them."""
    found = postern(tmp_path, "suppressions", *words)
    failed(found, 1, "is not on the suppression list; see: postern suppressions list")


@pytest.mark.parametrize("words", [("add", "nope"), ("get", "nope"), ("add", "a@example.com", "--origin", "bounce")])
def test_a_wrong_argument_is_wrong_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Bounces are added by Postern alone."""
    assert postern(tmp_path, "suppressions", *words).exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "anna@example.com\n\nBOB@example.net\nbob@example.net\n",
        "\ufeffanna@example.com\r\nbob@example.net\r\n",
        'created,Email,reason\n2026-01-01,anna@example.com,"550, gone"\n2026-01-02,bob@example.net,\n',
    ],
)
def test_a_file_is_imported(tmp_path: Path, text: str) -> None:
    """Lines, or CSV with a heading; each address once."""
    file = tmp_path / "list.csv"
    file.write_text(text, "utf-8", newline="")
    assert output(tmp_path, "suppressions", "import", str(file), "--origin", "complaint") == (
        "2 addresses are suppressed\n"
    )
    assert listed(tmp_path) == {"anna@example.com": "complaint", "bob@example.net": "complaint"}


def test_a_file_with_an_invalid_line_changes_nothing(tmp_path: Path) -> None:
    """Every such line is reported, with its number."""
    file = tmp_path / "list.txt"
    file.write_text("anna@example.com\nno address\nbob@\n", "utf-8")
    result = postern(tmp_path, "suppressions", "import", str(file))
    assert result.exit_code == 1
    for text in ("list.txt:2: ", "list.txt:3: ", "2 lines have no valid address; nothing was changed"):
        assert text in result.stderr
    assert listed(tmp_path) == {}
