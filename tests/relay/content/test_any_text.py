"""Any text in any field, through HTTP, disk and SMTP: refused with the field's name, or delivered as meant.

And nothing else is there: no further header, recipient or message. The reader is the standard library's parser.
"""

import asyncio
import base64
import binascii
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from email.message import EmailMessage
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import idna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail.message.headers import is_reserved
from app.mail.message.message import Envelope, Message
from app.simulator import Simulator
from app.simulator.recorder import ReceivedMessage
from tests.harness import ACCOUNT, EMAIL, KEY, MAILBOX, Harness, open_harness, settings_for
from tests.unit.mail.message.mime_oracle import check_wire, decoded, leaves, lines, mailboxes_in, parsed, raw, unfolded

EXAMPLES = 40  # of each field
ATTACKS = [
    *(
        "\r\n",
        "\r",
        "\n",
        "\0",
        "\n\n",
        "\r\r\n",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\ufeff",
        "\u202e",
    ),
    *("\r\n.\r\n", "\n.\n", "\r.\r", ".", "..", "\r\n..", "\r\n.\r\nMAIL FROM:<x@contoso.com>\r\n", "\r\nQUIT\r\n"),
    *("\r\nBcc: eve@example.org", "\nBcc: eve@example.org", "\rBcc: eve@example.org\r", "\r\n\r\n<script>", "\r\n "),
    *("=?utf-8?q?=0D=0ABcc:_eve@example.org?=", "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLm9yZw==?=", "=?utf-7?q?x?=", "=?"),
    *(
        "<eve@example.org>",
        ", eve@example.org",
        "a@example.org",
        '"',
        "\\",
        "(",
        ")",
        ";",
        ":",
        "<",
        ">",
        "@",
        " ",
        "\t",
    ),
    *(
        "--",
        "\r\n--=",
        "boundary=x",
        "; name=x",
        "ü",
        "🏰",
        "é",
        "\ud800",
        "x" * 100,
        "Content-Type: text/html",
        "aGk=",
    ),
]
TEXTS = st.lists(st.sampled_from(ATTACKS) | st.text(max_size=8), max_size=6).map("".join)

UNKNOWN = object()


class Either(set[str | None]):
    """Set of accepted values: a caller's encoded words may be read as they are or decoded."""


Read = Callable[[EmailMessage, Message], Any]


class Field(NamedTuple):
    """Field with its place for the text, the name in errors, a reader, and the expected values."""

    put: Callable[[str], Mapping[str, Any]]
    place: str
    read: Read
    meant: Callable[[str], Any] = lambda text: text
    also: Callable[[str], list[str]] = lambda text: []  # headers of the message beyond the usual
    shown: Callable[[dict[str, Any]], Any] | None = None  # of what is no part of the message: how GET shows it


def absent(*_: Any) -> None:
    """Expect no such part."""


def leaf(number: int, part: str) -> Read:
    """Read one property of the message's parts in order."""
    return lambda _, message: getattr(leaves(message)[number], part)


def name_of(header: str) -> Read:
    """Read the display name of the mailbox, without invisible characters."""
    return lambda _, message: visible(one_of(header, message)[0])


def message_id(parsed: EmailMessage, _: Message) -> str:
    """Expect the given one, or Postern's: an invalid one is replaced."""
    found = str(parsed["Message-ID"])
    return "made" if re.fullmatch(r"<[0-9a-f-]{36}@contoso\.com>", found) else found


def one_of(header: str, message: Message) -> tuple[str, str]:
    (person,) = mailboxes_in(message, header)
    return person


def html_of(_: EmailMessage, message: Message) -> bytes | None:
    """Expect no part for an empty one."""
    return leaves(message)[1].content if len(leaves(message)) > 1 else None


def quoted(text: str) -> str:
    """Put the text into a quoted display name of the mailbox."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{MAILBOX}>'


def plain_name(text: str) -> Any:
    """Expect the text without outer blanks. Encoded words in it are decoded, which is tested elsewhere."""
    return UNKNOWN if "=?" in text else visible(one_line(text).replace("\t", " "))


def visible(name: str) -> str:
    """Remove format characters (Unicode's Cf), fillers and joiners, of which some are removed and some stay."""
    unseen = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u2065\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e00ff]"
    return "".join(one for one in re.sub(unseen, "", name) if unicodedata.category(one) != "Cf").strip(" ")


def one_line(text: str) -> str:
    """Unfold by RFC 5322 §2.2.3."""
    return re.sub("\r\n(?=[ \t])", "", text)


def repaired(text: str) -> str:
    """Replace lone surrogates by U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def html_lines(text: str) -> bytes | None:
    """Expect None without html."""
    return lines(without_nul(text)) if without_nul(text) else None


def without_nul(text: str) -> str:
    """Remove NUL, which no mail may have."""
    return text.replace("\0", "")


def literal(text: str) -> bytes:
    """Expect the content of a text attachment: decoded if it is base64, else itself."""
    try:
        return base64.b64decode(re.sub(r"[ \t\r\n\x0b\x0c]", "", text), validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


def shown_in(html: bytes) -> str:
    """Read the content id that the image refers to."""
    return unescape(html.decode()).partition("cid:")[2].rpartition('"')[0]


def file(**members: Any) -> dict[str, Any]:
    """Return an email with one attachment."""
    return {"attachments": [{"filename": "a.bin", "content": "aGk=", **members}]}


def header(text: str) -> list[str]:
    """Put the text into a custom header, unless its name is reserved."""
    return [] if is_reserved(text) else [text]


FIELDS = {
    "subject": Field(
        lambda text: {"subject": text},
        "subject",
        lambda parsed, _: str(parsed["Subject"]),
        lambda text: one_line(without_nul(text)),
    ),
    "text": Field(lambda text: {"text": text}, "text", leaf(0, "content"), lambda text: lines(without_nul(text))),
    "html": Field(lambda text: {"html": text}, "html", html_of, html_lines),
    "from": Field(lambda text: {"from": quoted(text)}, "from", name_of("From"), plain_name),
    "to": Field(lambda text: {"to": quoted(text)}, "to[0]", name_of("To"), plain_name),
    "cc": Field(lambda text: {"cc": quoted(text)}, "cc[0]", name_of("Cc"), plain_name, lambda _: ["Cc"]),
    "reply_to": Field(
        lambda text: {"reply_to": [quoted(text)]},
        "reply_to[0]",
        name_of("Reply-To"),
        plain_name,
        lambda _: ["Reply-To"],
    ),
    "headers": Field(
        lambda text: {"headers": {"X-Any": text}},
        "headers.X-Any",
        lambda _, message: Either({unfolded(raw(message)["X-Any"]), decoded(raw(message)["X-Any"])}),
        lambda text: one_line(text).strip(" \t"),
        lambda _: ["X-Any"],
    ),
    "headers' names": Field(lambda text: {"headers": {text: "value"}}, "headers", absent, absent, header),
    "Message-ID": Field(
        lambda text: {"headers": {"Message-ID": f"<{text}@example.com>"}},
        "headers.Message-ID",
        message_id,
        lambda text: Either({f"<{text}@example.com>", "made"}),
    ),
    "bcc": Field(lambda text: {"bcc": quoted(text)}, "bcc[0]", absent, absent),
    "local part": Field(lambda text: {"to": f"{text}@example.net"}, "to[0]", absent, absent),
    "domain": Field(lambda text: {"to": f"ada@{text}.example.net"}, "to[0]", absent, absent),
    "tags": Field(
        lambda text: {"tags": [{"name": text, "value": text}]},
        "tags[0].name",
        absent,
        lambda text: [{"name": text, "value": text}],
        shown=lambda email: email["tags"],
    ),
    "coalesce": Field(lambda text: {"coalesce": text}, "coalesce", absent, absent),
    "X-Postern-Coalesce": Field(
        lambda text: {"headers": {"X-Postern-Coalesce": text}}, "headers.X-Postern-Coalesce", absent, absent
    ),
    "X-Postern-Lane": Field(
        lambda text: {"headers": {"X-Postern-Lane": text}}, "headers.X-Postern-Lane", absent, absent
    ),
    "filename": Field(lambda text: file(filename=text), "attachments[0].filename", leaf(1, "filename"),
                      lambda text: text or "attachment-1.bin"),
    "content": Field(
        lambda text: file(content=text, content_type="text/plain"),
        "attachments[0].content",
        leaf(1, "content"),
        literal,
    ),
    "content_type": Field(
        lambda text: file(content_type=text), "attachments[0].content_type", leaf(1, "content"), lambda _: b"hi"
    ),
    "content_id": Field(
        lambda text: {"html": f'<img src="cid:{escape(text)}">', **file(content_id=text)},
        "attachments[0].content_id",
        lambda _, message: leaves(message)[2].content_id in (None, shown_in(leaves(message)[1].content)),
        lambda text: True,
    ),
    "content_id not used": Field(
        lambda text: {"html": "<p>", **file(content_id=text)},
        "attachments[0].content_id",
        leaf(2, "content_id"),
        lambda text: Either({re.sub(r"(?i)\A(?:[\s<]|cid:)+|[\s>]+\Z", "", text) or None, None}),
    ),
}  # fmt: skip


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern without a rate limit."""
    async with Simulator(accounts=[ACCOUNT], max_records=100_000) as simulator:
        simulator.limits = replace(simulator.limits, messages_per_minute=100_000, recipients_per_day=100_000)
        facts = settings_for(simulator, tmp_path, messages_per_minute=100_000, recipients_per_day=100_000)
        async with open_harness(simulator, facts) as harness:
            yield harness


@pytest.mark.parametrize("name", FIELDS)
async def test_any_text(harness: Harness, name: str) -> None:
    """Hypothesis is synchronous, so it calls from a thread, as another process would."""
    loop = asyncio.get_running_loop()

    def stored(id: str) -> bytes:
        content = asyncio.run_coroutine_threadsafe(harness.postern.store.content(UUID(id)), loop).result(20)
        assert content is not None
        return content

    @settings(max_examples=EXAMPLES)
    @given(TEXTS)
    def try_one(text: str) -> None:
        before = len(harness.simulator.messages)
        email = EMAIL | dict(FIELDS[name].put(text))
        answer = caller.post("/emails", content=json.dumps(email))
        if answer.status_code != 200:
            refused(answer, FIELDS[name].place)
            assert len(harness.simulator.messages) == before
            return
        id = answer.json()["id"]
        shown = asyncio.run_coroutine_threadsafe(harness.until(UUID(id), "done"), loop).result()
        assert shown["last_event"] == "sent", shown["relay"]
        seen = harness.simulator.messages[before:]
        assert len(seen) == 1
        assert seen[0].content == stored(id)
        arrived(FIELDS[name], text, email, seen[0], shown)

    with httpx.Client(
        base_url=harness.postern.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False
    ) as caller:
        await asyncio.to_thread(try_one)


def refused(answer: httpx.Response, place: str) -> None:
    """Check that the error names the field or its list."""
    assert answer.status_code in (403, 422), answer.text
    first = answer.json()["details"][0]["field"]
    assert first.startswith(place) or place.startswith(first), (first, place)


def arrived(field: Field, text: str, email: Mapping[str, Any], seen: ReceivedMessage, shown: dict[str, Any]) -> None:
    """Check that the message has the expected value and nothing else."""
    assert set(seen.recipients) == {address for one in ("to", "cc", "bcc") for address in addresses(email.get(one))}
    assert seen.mail_from == MAILBOX
    message = Message(envelope_of(seen), "", seen.content)
    check_wire(message)
    assert sorted(raw(message).keys()) == sorted([*usual(message), *field.also(text)])
    for part in [*raw(message).walk()][1:]:
        allowed = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
        assert {name.lower() for name in part.keys()} <= allowed  # noqa: SIM118 - keys of a message may repeat
        assert len(part.keys()) == len(set(part.keys()))
    read = field.shown(shown) if field.shown else field.read(parsed(message), message)
    meant = field.meant(repaired(text))
    assert meant is UNKNOWN or any(one in each(meant) for one in each(read))


def envelope_of(seen: ReceivedMessage) -> Envelope:
    """Check for SMTPUTF8 (RFC 6531) only if an address needs it."""
    people = (seen.mail_from, *seen.recipients)
    return Envelope(seen.mail_from, seen.recipients, smtputf8=not all(person.isascii() for person in people))


def each(read: Any) -> Sequence[Any]:
    """Return the accepted values."""
    return [*read] if isinstance(read, Either) else [read]


def addresses(member: str | None) -> list[str]:
    """Return the accepted addresses: bare, with the domain in A-labels, or the mailbox behind a display name."""
    if member is None:
        return []
    local, _, domain = one_line(member).strip(" \t").rpartition("@")
    return [MAILBOX if member.endswith(f"<{MAILBOX}>") else f"{local}@{idna.encode(domain, uts46=True).decode()}"]


def usual(message: Message) -> list[str]:
    """Return the header fields of every message."""
    single = [] if raw(message).is_multipart() else ["Content-Transfer-Encoding"]
    return ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", *single]
