"""`postern emails erase`: output, pages after it, and content of the database files."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.simulator import Fault, Point, Say, Simulator
from tests.contract.cli.test_command_line import UNKNOWN_ID, command, failed, postern, store_message
from tests.contract.console.operator import CONSOLE_PASSWORD, visitor
from tests.harness import ACCOUNT, Harness, open_harness, settings_for

PERSON = "ada.lovelace@example.net"
SECRETS = (b"lovelace", b"Lovelace", b"difference engine")


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a console, and an upstream that repeats the address in a refusal."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.faults.add(Fault(at=Point.RCPT, do=Say(f"550 5.1.1 <{PERSON}> no such user"), recipient=PERSON))
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with open_harness(simulator, settings) as harness:
            yield harness


async def bytes_of(*files: Path) -> bytes:
    """Read files in another process: closing a file here would release the locks that SQLite holds on it (fcntl(2))."""
    reading = await asyncio.create_subprocess_exec("cat", *files, stdout=asyncio.subprocess.PIPE)
    read, _ = await reading.communicate()
    return read


async def failed_email(harness: Harness) -> UUID:
    """Submit an email that fails for the person, and return its id."""
    id = await harness.post(
        to=[f"Ada Lovelace <{PERSON}>", "bob@example.net"], subject="Your difference engine", text="Dear Ada Lovelace"
    )
    await harness.until(id, "done")
    return id


@pytest.mark.parametrize("by_address", [True, False])
async def test_erasing_while_postern_runs(harness: Harness, tmp_path: Path, by_address: bool) -> None:
    """The output has no address, every page renders, and database and write-ahead log do not contain the person."""
    id = await failed_email(harness)
    other = await harness.post(to="carol@example.net", subject="For Carol")
    await harness.until(other, "done")
    arguments = ("--address", f"Ada <{PERSON.upper()}>") if by_address else (id,)
    printed = await command(tmp_path, "emails", "erase", *arguments)
    assert printed == ("1 emails are erased\n" if by_address else f"{id} is erased\n")
    files = await bytes_of(*tmp_path.glob("*.db*"))
    assert b"For Carol" in files
    assert [secret for secret in SECRETS if secret in files] == []
    for words in (("show", id), ("show", id, "--json"), ("list",), ("list", "--json")):
        shown = await command(tmp_path, "emails", *words)
        assert "(erased)" in shown
        assert "ovelace" not in shown
    async with visitor(harness) as operator:
        await operator.log_in()
        for path in (f"/emails/{id}", "/emails", "/audit"):
            assert "ovelace" not in await operator.open(path)
            assert "ovelace" not in operator.page.text
        assert "email.erased" in operator.shows
    assert (await harness.email(id))["last_event"] == "failed"


def test_unfinished_emails_are_not_erased(tmp_path: Path) -> None:
    """The exit code is 1, with the id and the fix. After `cancel` the email can be erased."""
    id = store_message(tmp_path, "held")
    failed(postern(tmp_path, "emails", "erase", id), 1, "postern emails cancel")
    by_address = postern(tmp_path, "emails", "erase", "--address", "b@example.com")
    assert (by_address.exit_code, by_address.stdout) == (1, "0 emails are erased\n")
    assert str(id) in by_address.stderr
    assert postern(tmp_path, "emails", "cancel", id).exit_code == 0
    assert postern(tmp_path, "emails", "erase", "--address", "b@example.com").stdout == "1 emails are erased\n"
    assert postern(tmp_path, "emails", "erase", id).stdout == f"{id} is erased\n"


def test_invalid_arguments(tmp_path: Path) -> None:
    """The exit code is 2 without ids and address, with both, and for an invalid address; 1 for an unknown id."""
    store_message(tmp_path, "queued")
    for words in ((), (UNKNOWN_ID, "--address", "a@example.net"), ("--address", "nobody"), ("nope",)):
        assert postern(tmp_path, "emails", "erase", *words).exit_code == 2
    failed(postern(tmp_path, "emails", "erase", UNKNOWN_ID), 1, f"there is no email {UNKNOWN_ID}")
    assert postern(tmp_path, "emails", "erase", "--address", "a@example.net").stdout == "0 emails are erased\n"
