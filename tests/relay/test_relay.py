"""The whole path: POST, commit, STARTTLS, AUTH, transaction, settlement, GET."""

import asyncio
import json
from email import policy
from email.parser import BytesParser

from app.simulator import Drop, Fault, Point, Say
from tests.harness import MAILBOX, PASSWORD, Harness


async def test_a_posted_email_arrives_and_reads_as_sent(harness: Harness) -> None:
    """With envelope and content as submitted, and the attempt's dialogue without secrets."""
    id = await harness.post(to=["Ada <ada@example.net>"], cc="bob@example.net", bcc=["eve@example.org"])
    email = await harness.until(id, "done")
    [seen] = harness.simulator.messages
    assert (seen.mail_from, seen.recipients) == (MAILBOX, ("ada@example.net", "bob@example.net", "eve@example.org"))
    arrived = BytesParser(policy=policy.default).parsebytes(seen.content)
    assert (arrived["To"], arrived["Cc"], arrived["Bcc"]) == ("Ada <ada@example.net>", "bob@example.net", None)
    assert email["message_id"] == arrived["Message-ID"]
    assert email["last_event"] == "sent"
    [attempt] = email["relay"]["attempts"]
    assert (attempt["phase"], attempt["failure"], attempt["mailbox"]) == ("dot", None, MAILBOX)
    assert "C: AUTH LOGIN ****" in attempt["dialogue"]
    assert f"C: MAIL FROM:<{MAILBOX}>" in " ".join(attempt["dialogue"])
    assert PASSWORD not in str(email)


async def test_each_recipient_has_its_own_result(harness: Harness) -> None:
    """One refused, one deferred, one relayed; only the deferred one is attempted again."""
    faults = harness.simulator.faults
    faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="no@example.net"))
    faults.add(Fault(at=Point.RCPT, do=Say("451 4.3.0 later"), recipient="later@example.net"))
    id = await harness.post(to=["yes@example.net", "no@example.net", "later@example.net"])
    email = await harness.until(id, "deferred")
    assert [(one["address"], one["state"]) for one in email["relay"]["recipients"]] == [
        ("yes@example.net", "relayed"),
        ("no@example.net", "failed"),
        ("later@example.net", "pending"),
    ]
    assert email["last_event"] == "delivery_delayed"
    assert [seen.recipients for seen in harness.simulator.accepted] == [("yes@example.net",)]


async def test_a_refused_message_has_failed_with_its_reason(harness: Harness) -> None:
    """SendAsDenied follows the content; there is no further attempt."""
    harness.simulator.faults.add(Fault(at=Point.DOT, do=Say("554 5.6.0 Invalid message content")))
    email = await harness.until(await harness.post(), "done")
    assert email["last_event"] == "failed"
    assert email["relay"]["recipients"][0]["reply"] == "554 5.6.0 Invalid message content"
    assert email["relay"]["explanation"]["fix"]
    assert len(email["relay"]["attempts"]) == 1


async def test_a_reply_lost_after_the_dot_is_flagged(harness: Harness) -> None:
    """Accepted upstream, then silence: a possible duplicate, and not attempted again at once."""
    harness.simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop()))
    email = await harness.until(await harness.post(), "deferred")
    assert email["relay"]["possible_duplicate"]
    assert email["relay"]["attempts"][0]["phase"] == "dot"
    assert len(harness.simulator.accepted) == 1


async def test_a_refused_login_holds_the_mailbox_and_fails_nothing(harness: Harness) -> None:
    """One failed login, however many messages wait."""
    harness.simulator.faults.add(Fault(at=Point.AUTH, do=Say("535 5.7.3 Authentication unsuccessful")))
    ids = [await harness.post() for _ in range(20)]
    await harness.until_health("held")
    for id in ids:
        email = await harness.until(id, "queued")
        assert email["last_event"] in ("queued", "delivery_delayed")
    assert len(harness.simulator.logins) == 1
    assert harness.simulator.messages == []


async def test_300_messages_of_20_callers_arrive_once_each(harness: Harness) -> None:
    """Over 3 sessions, within the limits."""

    async def call(caller: int) -> None:
        for number in range(15):
            await harness.post(subject=f"{caller}/{number}")

    await asyncio.gather(*(call(caller) for caller in range(20)))
    await harness.simulator.wait_for(300, 30)
    subjects = {
        BytesParser(policy=policy.default).parsebytes(seen.content)["Subject"] for seen in harness.simulator.accepted
    }
    assert len(subjects) == len(harness.simulator.accepted) == 300
    assert harness.simulator.violations == []
    assert len(harness.simulator.sessions) <= 6  # a session ends after 100 messages


async def test_invalid_http_gets_the_common_error_form(harness: Harness) -> None:
    """By the server below the application (api.md §1, rule 3)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(harness.postern.url.rpartition(":")[2]))
    writer.write(b"EHLO this is not HTTP\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body)["statusCode"] == 400
    assert json.loads(body)["name"] == "validation_error"
