"""`postern keys`: create, change, rotate and revoke keys, and `postern audit`, without a running Postern."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.api.auth.authenticator import digest
from app.store.keys.records import AuthenticatedKey
from tests.contract.cli.test_command_line import UNKNOWN_ID, failed, postern, store_message, stored

LIMITS = (
    *("--senders", "*@contoso.com,a@fabrikam.com", "--default-sender", "Shop <shop@contoso.com>"),
    *("--lanes", "bulk,normal", "--recipients", "example.com, bob@example.net", "--per-minute", 5, "--per-day", 50),
    *("--recipients-per-minute", 6, "--recipients-per-day", 60, "--bytes-per-minute", 7000, "--bytes-per-day", 10**11),
)


def create(folder: Path, *options: object) -> dict[str, Any]:
    """Create a key and return it with its secret."""
    result = postern(folder, "keys", "create", "shop", *options, "--json")
    assert result.exit_code == 0, result.output
    (key,) = json.loads(result.stdout)
    assert isinstance(key, dict)
    return key


def show(folder: Path, id: object) -> dict[str, Any]:
    """Return the JSON of a key."""
    (key,) = json.loads(postern(folder, "keys", "show", id, "--json").stdout)
    assert isinstance(key, dict)
    return key


def authenticate(folder: Path, secret: str) -> AuthenticatedKey | None:
    """Return the key of a secret, if it is valid."""
    return stored(folder, lambda store: store.find_key(digest(secret)))


def test_the_secret_is_shown_once(tmp_path: Path) -> None:
    """The secret is neither in a list nor in the files of the store."""
    key = create(tmp_path, *LIMITS)
    secret = key.pop("key")
    found = authenticate(tmp_path, secret)
    assert found is not None
    assert str(found.key.id) == key["id"]
    assert key == show(tmp_path, key["id"])
    assert key["permission"] == "sending_access"
    assert key["recipients"] == ["*@example.com", "bob@example.net"]
    assert (key["messages_per_minute"], key["messages_per_day"], key["lanes"]) == (5, 50, ["bulk", "normal"])
    assert (key["recipients_per_minute"], key["recipients_per_day"]) == (6, 60)
    assert (key["bytes_per_minute"], key["bytes_per_day"]) == (7000, 10**11)
    listed = postern(tmp_path, "keys", "list").output + postern(tmp_path, "keys", "show", key["id"]).output
    assert "recipients: *@example.com" in listed
    assert secret not in listed
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.rglob("postern.db*"))
    plain = postern(tmp_path, "keys", "create", "other").stdout
    assert plain.startswith("pst_")
    assert "not shown again" in plain
    assert f"export POSTERN_API_KEY={plain.split()[0]}\n" in plain
    assert f"database {tmp_path}/postern.db (POSTERN_DATA_DIR decides)" in plain


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--lanes", "express"), "'express' is not a lane. Use one or more of urgent, normal, bulk."),
        (("--senders", "shop-*@contoso.com"), "is not a pattern of a sender"),
        (("--recipients", "exa mple"), "is not a pattern of a recipient"),
        (("--redirect-to", "staging"), "Use one such as staging@contoso.com."),
        (("--sink", "--redirect-to", "a@b.example"), "exclude each other"),
        (("--senders", "a@b.example", "--default-sender", "c@b.example"), "may not send as its default sender"),
        (("--per-minute", "-1"), "--per-minute"),
        (("--recipients-per-day", "-1"), "--recipients-per-day"),
        (("--bytes-per-day", str(10**16)), "Use a whole number from 1"),
        (("--permission", "god"), "--permission"),
    ],
)
def test_invalid_options(tmp_path: Path, options: tuple[str, ...], text: str) -> None:
    """Invalid options end with exit code 2, fault and fix, in `create` and in `update`. Nothing is stored."""
    id = create(tmp_path)["id"]
    for command in (("create", "other"), ("update", id)):
        result = postern(tmp_path, "keys", *command, *options)
        assert result.exit_code == 2
        assert text in " ".join(result.stderr.replace("│", " ").split()), result.stderr
    assert len(stored(tmp_path, lambda store: store.keys())) == 1


def test_options_of_an_update(tmp_path: Path) -> None:
    """Options that are not given change nothing; an empty value removes a limit."""
    key = create(tmp_path, *LIMITS)
    del key["key"]
    for options, changes in (
        (("--name", "the shop", "--permission", "send_only"), {"name": "the shop", "permission": "send_only"}),
        (("--per-day", 0, "--lanes", "", "--disable"), {"messages_per_day": None, "lanes": [], "disabled": True}),
        (
            ("--recipients", "", "--sink", "--default-sender", ""),
            {"recipients": [], "sink": True, "default_sender": None},
        ),
        (("--no-sink", "--redirect-to", "a@b.example"), {"sink": False, "redirect_to": "a@b.example"}),
        (("--enable", "--redirect-to", ""), {"disabled": False, "redirect_to": None}),
    ):
        assert postern(tmp_path, "keys", "update", key["id"], *options).stdout == f"updated {key['id']}\n"
        key |= changes
        assert show(tmp_path, key["id"]) == key


def test_a_key_is_rotated(tmp_path: Path) -> None:
    """The old secret is valid for a day, or for `--overlap` seconds."""
    key = create(tmp_path)
    for overlap, seconds in (((), 86_400), (("--overlap", 0), 0)):
        (rotated,) = json.loads(postern(tmp_path, "keys", "rotate", key["id"], *overlap, "--json").stdout)
        old, new = authenticate(tmp_path, key["key"]), authenticate(tmp_path, rotated["key"])
        assert old is not None
        assert new is not None
        assert old.key == new.key
        assert old.until is not None
        assert new.until is None
        assert len(rotated["old_secrets_until"]) == (1 if seconds else 0)
        key = rotated


def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    """A revoked key cannot be revoked again or rotated."""
    id = create(tmp_path)["id"]
    assert postern(tmp_path, "keys", "revoke", id).stdout == f"revoked {id}\n"
    failed(postern(tmp_path, "keys", "revoke", id), 1, f"there is no key {id} that is not revoked already")
    failed(postern(tmp_path, "keys", "rotate", id), 1, f"there is no key {id} that is in use")
    assert show(tmp_path, id)["revoked_at"]
    assert "revoked" in postern(tmp_path, "keys", "list").output


@pytest.mark.parametrize("command", ["show", "update", "rotate", "revoke"])
def test_an_unknown_key(tmp_path: Path, command: str) -> None:
    """The exit code is 1 for an unknown id, 2 for an invalid id."""
    create(tmp_path)
    failed(postern(tmp_path, "keys", command, UNKNOWN_ID), 1, f"there is no key {UNKNOWN_ID}")
    assert postern(tmp_path, "keys", command, "nope").exit_code == 2


def test_changes_are_audited(tmp_path: Path) -> None:
    """The audit names the command line as the actor."""
    id = create(tmp_path)["id"]
    postern(tmp_path, "keys", "update", id, "--disable")
    postern(tmp_path, "keys", "revoke", id)
    found = stored(tmp_path, lambda store: store.audit(None, 9))
    assert [(one.entry.action, one.entry.by.name) for one in found] == [
        ("key.revoked", "command line"),
        ("key.updated", "command line"),
        ("key.created", "command line"),
    ]


def test_output_of_the_audit(tmp_path: Path) -> None:
    """The audit is a table or JSON, newest first, and includes decisions about emails."""
    held = store_message(tmp_path, "held")
    assert "There are no audit entries yet." in postern(tmp_path, "audit").output
    id = create(tmp_path)["id"]
    postern(tmp_path, "keys", "update", id, "--per-day", 5)
    postern(tmp_path, "emails", "retry", held)
    entries = json.loads(postern(tmp_path, "audit", "--json").stdout)
    assert [(one["action"], one["subject"]) for one in entries] == [
        ("email.retried", str(held)),
        ("key.updated", id),
        ("key.created", id),
    ]
    assert entries[1]["details"]["messages_per_day"] == {"before": None, "after": 5}
    assert entries[0]["actor"] == "command line"
    assert len(json.loads(postern(tmp_path, "audit", "--limit", 1, "--json").stdout)) == 1
    assert "key.created" in postern(tmp_path, "audit").output.replace("\n", "")
