"""A report is believed only if it is about an email of the mailbox that received it. Forgeries change nothing."""

import pytest

from app.mail.ndr.belief import Disbelief, SentEmail, bounces, disbelief
from app.mail.ndr.parse import parse
from tests.unit.mail.ndr.reports import ADA, BOB, MAILBOX, MESSAGE_ID, Ndr, block

SENT = SentEmail(MESSAGE_ID, MAILBOX, frozenset({ADA, BOB}))


def believed(ndr: Ndr, mailbox: str = MAILBOX, sent: SentEmail | None = SENT) -> dict[str, str]:
    """Status by believed recipient."""
    report = parse(ndr.raw())
    return {} if report is None else {to: one.status for to, one in bounces(report, mailbox, sent).items()}


def test_a_bounce_is_believed_for_its_recipient_only() -> None:
    """The other recipients of the email have not bounced."""
    assert believed(Ndr()) == {ADA: "5.1.10"}
    assert believed(Ndr(blocks=(block(BOB, status="5.2.2"),))) == {BOB: "5.2.2"}


def test_only_failed_recipients_of_a_report_bounced() -> None:
    assert believed(Ndr(blocks=(block(ADA, "delayed", "4.4.7"), block(BOB)))) == {BOB: "5.1.10"}


def test_the_first_block_of_a_recipient_counts() -> None:
    assert believed(Ndr(blocks=(block(status="5.2.2"), block(status="5.1.1")))) == {ADA: "5.2.2"}


@pytest.mark.parametrize(
    ("on_email", "reported"),
    [
        ("Ada@Example.net", "ADA@example.NET"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("ada@example.net", "<ada@example.net>"),
    ],
)
def test_addresses_are_compared_by_meaning(on_email: str, reported: str) -> None:
    """Without case, by A-labels; the result has the address of the email."""
    sent = SentEmail(MESSAGE_ID, MAILBOX.upper(), frozenset({on_email}))
    assert believed(Ndr(blocks=(block(reported),)), sent=sent) == {on_email: "5.1.10"}


def test_a_forwarded_recipient_is_known_by_its_original_address() -> None:
    """RFC 3464 §2.3.1."""
    forwarded = f"Original-Recipient: rfc822;{ADA}\r\n" + block("eve@example.com")
    assert believed(Ndr(blocks=(forwarded,))) == {ADA: "5.1.10"}


FORGERIES = {
    "an email that was never sent": (Ndr(), MAILBOX, None),
    "another mailbox of ours": (Ndr(), "sales@contoso.com", SENT),
    "a recipient who was not on the email": (Ndr(blocks=(block("eve@example.com"),)), MAILBOX, SENT),
    "an address that only begins like it": (Ndr(blocks=(block(f"{ADA}.evil.example"),)), MAILBOX, SENT),
    "a Message-ID in another case": (
        Ndr(in_reply_to=f"<{MESSAGE_ID.upper()}>", references=None, returned=None), MAILBOX, SENT,
    ),
    "a Message-ID that contains ours": (
        Ndr(in_reply_to=f"<x{MESSAGE_ID}>", references=None, returned=None), MAILBOX, SENT,
    ),
    "no Message-ID": (Ndr(in_reply_to=None, references=None, returned=None), MAILBOX, SENT),
    "two Message-IDs": (Ndr(returned="<other@postern.example.com>"), MAILBOX, SENT),
    "a delay": (Ndr(blocks=(block(action="delayed", status="5.1.1"),)), MAILBOX, SENT),
    "a success with a code of failure": (Ndr(blocks=(block(action="delivered"),)), MAILBOX, SENT),
    "a report in the text for people": (Ndr(blocks=(), human=f"\r\n{block()}"), MAILBOX, SENT),
    "a report inside another message": (Ndr(content_type="multipart/mixed"), MAILBOX, SENT),
    "an empty recipient": (Ndr(blocks=(block(""),)), MAILBOX, SENT),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_changes_nothing(name: str) -> None:
    assert believed(*FORGERIES[name]) == {}


REASONS = {
    "an email that was never sent": Disbelief.OTHER_EMAIL,
    "another mailbox of ours": Disbelief.OTHER_MAILBOX,
    "a recipient who was not on the email": Disbelief.OTHER_RECIPIENT,
    "an address that only begins like it": Disbelief.OTHER_RECIPIENT,
    "a Message-ID in another case": Disbelief.OTHER_EMAIL,
    "a Message-ID that contains ours": Disbelief.OTHER_EMAIL,
    "no Message-ID": Disbelief.NO_MESSAGE_ID,
    "two Message-IDs": Disbelief.NO_MESSAGE_ID,
    "an empty recipient": Disbelief.OTHER_RECIPIENT,
}


@pytest.mark.parametrize("name", FORGERIES)
def test_the_reason_why_a_report_is_not_believed(name: str) -> None:
    """The forgeries without one are no reports of a failure."""
    ndr, mailbox, sent = FORGERIES[name]
    report = parse(ndr.raw())
    assert (report is None) == (name not in REASONS)
    if report is not None:
        assert disbelief(report, mailbox, [sent] if sent else []) is REASONS[name]


def test_a_report_of_another_failure_names_a_recipient_who_has_not_failed() -> None:
    report = parse(Ndr(blocks=(block(ADA, "delayed", "4.4.7"), block("eve@example.com"))).raw())
    assert report is not None
    assert bounces(report, MAILBOX, SENT) == {}
    assert disbelief(report, MAILBOX, [SENT]) is Disbelief.NOT_FAILED


def test_an_email_without_a_message_id_cannot_bounce() -> None:
    """Two empty ones are not the same."""
    nameless = SentEmail("", MAILBOX, frozenset({ADA}))
    assert believed(Ndr(in_reply_to=None, references=None, returned=None), sent=nameless) == {}
