"""django-anymail with its Resend backend and only RESEND_API_URL changed."""

import asyncio
import base64
import os
from email import policy
from email.parser import BytesParser

from tests.contract.service.test_resend_sdk import files
from tests.harness import KEY, Harness
from tests.sdks.registry import python, run
from tests.waiting import WAIT_TIMEOUT
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver

FILE = os.urandom(2000)
LOGO = bytes(range(256))
PACKAGES = ("django-anymail[resend]", "django")


async def test_anymail_sends(harness: Harness) -> None:
    """One with an inline image and a file, a batch with metadata for each recipient, a scheduled one; an error."""
    folder = await asyncio.to_thread(python, *PACKAGES)
    given = {"logo": base64.b64encode(LOGO).decode(), "file": base64.b64encode(FILE).decode()}
    result = await run("anymail_django.py", folder, given, "send", harness.url, KEY, **harness.environment)
    await harness.simulator.wait_for(3, WAIT_TIMEOUT)
    by_recipients = {frozenset(seen.recipients): seen for seen in harness.simulator.messages}
    single = by_recipients[frozenset({"zoe@example.net", "c@example.net", "b@example.net"})]
    assert by_recipients.keys() >= {frozenset({"zoe@example.net"}), frozenset({"bob@example.net"})}
    message = BytesParser(policy=policy.default).parsebytes(single.content)
    assert (str(message["Subject"]), str(message["To"])) == ("Größe", "Zoë <zoe@example.net>")
    assert (str(message["Cc"]), str(message["Reply-To"]), message["Bcc"]) == ("c@example.net", "help@contoso.com", None)
    assert files(message) == {
        ("logo.png", "inline", f"<{result['cid']}>"): LOGO,
        ("März.pdf", "attachment", None): FILE,
    }
    for one in (result["single"], result["many"], result["later"]):
        assert {recipient["status"] for recipient in one.values()} == {"queued"}
    ids = {one["id"] for one in result["many"].values()}
    assert len(ids) == 2
    (later,) = result["later"].values()
    shown = (await harness.caller.get(f"/emails/{later['id']}")).json()
    assert (shown["last_event"], shown["relay"]["state"]) == ("scheduled", "queued")
    assert result["refused"] == [422, "validation_error"]
    assert len(harness.simulator.messages) == 3


async def test_anymails_view_verifies_our_webhooks(harness: Harness) -> None:
    """A webhook as received is verified and parsed; a forged one is refused."""
    folder = await asyncio.to_thread(python, *PACKAGES)
    async with Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        id = await harness.post(to="ada@example.net")
        await receiver.until(lambda: bool(receiver.taken))
        got = receiver.taken[0]
    given = {"headers": got.headers, "body": got.body.decode()}
    result = await run("anymail_django.py", folder, given, "webhook", made["signing_secret"])
    assert (result["status"], result["forged"]) == (200, 400)
    (event,) = result["events"]
    assert (event["type"], event["id"], event["to"]) == ("sent", str(id), "ada@example.net")
