"""Real mail of many structures arrives byte-true through HTTP, disk and SMTP, and parses to the submitted values."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.mail.message.message import Attachment, Envelope, Message, Submission
from app.simulator import Account, Simulator
from tests.harness import MAILBOX, PASSWORD, Harness, open_harness, settings_for
from tests.unit.mail.message.corpus import CORPUS
from tests.unit.mail.message.mime_oracle import check_message
from tests.waiting import WAIT_TIMEOUT


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a mailbox for all senders of the corpus."""
    simulator = Simulator(accounts=[Account(MAILBOX, password=PASSWORD, send_as=("*",))])
    async with simulator, open_harness(simulator, settings_for(simulator, tmp_path, senders="*@*")) as harness:
        yield harness


# What the API takes otherwise: it refuses NUL, decodes RFC 2047 in a name, names a file, writes a domain in lower case.
NOT_AS_GIVEN = {"control_characters", "awkward_names", "empty_attachment", "same_recipient_thrice"}


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in NOT_AS_GIVEN])
async def test_a_message_arrives_byte_true(harness: Harness, name: str) -> None:
    """The received bytes are the stored ones; headers, texts and files are those of the caller."""
    submission = CORPUS[name]
    id = await harness.post(**request_of(submission))
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    [seen] = harness.simulator.messages
    assert seen.content == await harness.postern.store.content(id)
    everybody = {f"{one.local}@{one.domain.lower()}" for one in (*submission.to, *submission.cc, *submission.bcc)}
    assert sorted(seen.recipients) == sorted(everybody)
    email = await harness.email(id)
    smtputf8 = not seen.mail_from.isascii() or not all(one.isascii() for one in seen.recipients)
    envelope = Envelope(seen.mail_from, seen.recipients, smtputf8)
    check_message(submission, Message(envelope, email["message_id"].strip("<>"), seen.content))


def request_of(submission: Submission) -> dict[str, Any]:
    """Return the JSON of a caller for it."""
    own_id = [("Message-ID", f"<{submission.message_id}>")] if submission.message_id else []
    return {
        "from": submission.sender.render(),
        "to": [one.render() for one in submission.to],
        "cc": [one.render() for one in submission.cc],
        "bcc": [one.render() for one in submission.bcc],
        "reply_to": [one.render() for one in submission.reply_to],
        "subject": submission.subject,
        "html": submission.html,
        "text": submission.text,
        "headers": dict([*submission.headers, *own_id]),
        "attachments": [file_of(attachment) for attachment in submission.attachments],
        "tags": [{"name": name, "value": value} for name, value in submission.tags],
    }


def file_of(attachment: Attachment) -> dict[str, Any]:
    """Return one attachment of the request."""
    return {
        "filename": attachment.filename,
        "content": attachment.base64.decode(),
        "content_type": attachment.content_type,
        "content_id": attachment.content_id,
    }
