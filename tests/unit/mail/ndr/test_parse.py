"""Non-delivery reports are read from their machine-readable parts alone, within limits."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.ndr.parse import MAX_PARTS, MAX_RECIPIENTS, MAX_SIZE, MAX_VALUE, RecipientReport, Report, parse
from tests.unit.mail.ndr.reports import ADA, BOB, DIAGNOSTIC, MESSAGE_ID, Ndr, block

FAILED = RecipientReport(ADA, "", "failed", "5.1.10", DIAGNOSTIC, "mx.example.net")


def read(ndr: Ndr) -> Report:
    """The report, which must be one."""
    report = parse(ndr.raw())
    assert report is not None
    return report


def test_a_report_of_exchange() -> None:
    """Message-ID without <>, and the block of the recipient; nothing from the part for people."""
    assert read(Ndr()) == Report(MESSAGE_ID, (FAILED,))


def test_lines_may_end_with_line_feeds() -> None:
    """As a mailbox in a file has them."""
    assert parse(Ndr().raw().replace(b"\r\n", b"\n")) == Report(MESSAGE_ID, (FAILED,))


def test_every_recipient_has_its_block() -> None:
    ndr = Ndr(
        blocks=(block(), block(BOB, "delayed", "4.4.7", "450 4.4.7 later"), block(BOB, "Failed", "5.2.2", "full"))
    )
    assert [(one.recipient, one.action, one.status) for one in read(ndr).recipients] == [
        (ADA, "failed", "5.1.10"),
        (BOB, "delayed", "4.4.7"),
        (BOB, "failed", "5.2.2"),
    ]


def test_fields_in_the_forms_of_other_servers() -> None:
    """Folded, with a comment behind the status, white space behind the type, any case, and no status at all."""
    ndr = Ndr(
        blocks=(
            "ORIGINAL-RECIPIENT: rfc822; <ada@example.net>\r\nfinal-recipient: RFC822 ; ada@example.net\r\n"
            "Action: failed\r\nStatus: 5.0.0 (permanent failure)\r\nDiagnostic-Code: X-Notes; Error\r\n\tin line 2\r\n",
            "Final-Recipient: bob@example.org\r\nAction: failed\r\nStatus: unknown\r\n"
            "Diagnostic-Code: gone; for good\r\n",
        )
    )
    first, second = read(ndr).recipients
    assert (first.original_recipient, first.recipient) == ("<ada@example.net>", ADA)
    assert (first.status, first.diagnostic, first.remote_mta) == ("5.0.0", "Error in line 2", "")
    assert (second.recipient, second.status, second.diagnostic) == (BOB, "", "gone; for good")


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"])
def test_the_returned_message_names_the_message_id(kind: str) -> None:
    """Also where no header of the report does."""
    assert read(Ndr(in_reply_to=None, references=None, returned_type=kind)).message_id == MESSAGE_ID


@pytest.mark.parametrize(
    "ndr", [Ndr(returned=None), Ndr(returned=None, references=None), Ndr(returned=None, in_reply_to=None)]
)
def test_the_headers_name_the_message_id(ndr: Ndr) -> None:
    """In-Reply-To, or the last of References."""
    assert read(ndr).message_id == MESSAGE_ID
    assert read(ndr._replace(references=f"<parent@example.com>\r\n <{MESSAGE_ID}>")).message_id == MESSAGE_ID


@pytest.mark.parametrize(
    "ndr",
    [
        Ndr(in_reply_to=None, references=None, returned=None),
        Ndr(in_reply_to="<other@example.com>"),
        Ndr(references=f"<{MESSAGE_ID}> <other@example.com>"),
        Ndr(returned="<other@example.com>"),
        Ndr(in_reply_to=None, references=None, returned="no brackets"),
    ],
)
def test_a_report_without_one_message_id_names_none(ndr: Ndr) -> None:
    """None, or contradictory ones."""
    assert read(ndr).message_id == ""


def test_internationalized_reports() -> None:
    """RFC 6533: an address in UTF-8."""
    ndr = Ndr(status_type="message/global-delivery-status", blocks=(block().replace("rfc822;ada", "utf-8;ada"),))
    assert read(ndr).recipients == (FAILED,)


@pytest.mark.parametrize(
    "ndr",
    [
        Ndr(blocks=(block(action="delayed", status="4.4.7"),)),
        Ndr(blocks=(block(action="delivered", status="2.0.0"),)),
        Ndr(blocks=(block(action="relayed", status="2.0.0"), block(action="expanded", status="2.0.0"))),
        Ndr(blocks=()),
        Ndr(content_type="multipart/mixed"),
        Ndr(
            content_type="multipart/report; report-type=disposition-notification",
            status_type="message/disposition-notification",
        ),
        Ndr(content_type="multipart/report; report-type=feedback-report", status_type="message/feedback-report"),
        Ndr(status_type="text/plain"),
        Ndr(blocks=("Action: failed\r\nStatus: 5.1.1\r\n",)),
    ],
)
def test_other_messages_are_no_reports(ndr: Ndr) -> None:
    """Delay, success, read receipt, complaint, and reports without a recipient."""
    assert parse(ndr.raw()) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"From: a\r\nAuto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\n\r\nI am on holiday.",
        b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\n--\r\n\r\n",
        b'Content-Type: multipart/report; boundary=""\r\n\r\n--\r\n',
        b"Content-Type: multipart/report; boundary*=idna''%c3%a4\r\n\r\n--\r\n",
        b"Content-Type: multipart/report; boundary=\xc3\xa4\r\n\r\n--\xc3\xa4\r\n",
        b"Subject: Undeliverable\r\nX-MS-Exchange-Message-Is-Ndr:\r\n\r\nRemote server returned '550 5.1.1 not found'",
    ],
)
def test_messages_without_parts_are_no_reports(raw: bytes) -> None:
    """An automatic reply among them; and a report for people only, as it is localised."""
    assert parse(raw) is None


def test_a_boundary_that_another_begins_with() -> None:
    """RFC 2046 §5.1.1: a delimiter is a whole line."""
    raw = Ndr(
        boundary="abc", human="--abcd\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n\r\n" + block(BOB)
    ).raw()
    report = parse(raw)
    assert report is not None
    assert [one.recipient for one in report.recipients] == [ADA]


def test_a_report_within_the_part_for_people_is_not_read() -> None:
    """Neither in a nested part, nor in a returned message that is a report itself."""
    inner = Ndr(blocks=(block(BOB),), boundary="other", in_reply_to="<x@example.com>").raw().decode()
    assert read(Ndr(human=inner)) == Report(MESSAGE_ID, (FAILED,))
    forwarded = Ndr(returned=f"<{MESSAGE_ID}>\r\n{inner}")
    assert read(forwarded) == Report(MESSAGE_ID, (FAILED,))


def test_only_the_first_status_part_counts() -> None:
    raw = (
        Ndr()
        .raw()
        .replace(
            b"Content-Type: message/rfc822",
            b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\n" + block(BOB).encode(),
        )
    )
    report = parse(raw)
    assert report is not None
    assert [one.recipient for one in report.recipients] == [ADA]


def test_recipients_have_a_limit() -> None:
    ndr = Ndr(blocks=tuple(block(f"r{number}@example.net") for number in range(MAX_RECIPIENTS + 50)))
    assert len(read(ndr).recipients) == MAX_RECIPIENTS


def test_fields_have_a_limit() -> None:
    assert (
        len(read(Ndr(blocks=(block(diagnostic="550 " + "x" * 3 * MAX_VALUE),))).recipients[0].diagnostic) <= MAX_VALUE
    )


def test_parts_and_bytes_have_a_limit() -> None:
    """Content beyond the limit is not read."""
    empty = b"--6f0d-_=aaaa\r\nContent-Type: text/plain\r\n\r\n\r\n"
    assert parse(Ndr().raw().replace(b"\r\n\r\n--", b"\r\n\r\n" + empty * MAX_PARTS + b"--", 1)) is None
    assert parse(Ndr(human="x" * MAX_SIZE).raw()) is None
    report = parse(Ndr().raw() + b"x" * 2 * MAX_SIZE)
    assert report == Report(MESSAGE_ID, (FAILED,))


@given(st.binary(max_size=400))
def test_no_bytes_are_an_error(raw: bytes) -> None:
    """Any message can be in a mailbox."""
    parse(raw)
    parse(b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" + raw)
    parse(b"Content-Type: multipart/report" + raw)


@given(st.integers(0, 1500), st.integers(0, 40), st.binary(max_size=20))
def test_no_damage_is_an_error(at: int, length: int, instead: bytes) -> None:
    """And what is read has no line break in it."""
    raw = Ndr().raw()
    report = parse(raw[:at] + instead + raw[at + length :])
    for one in () if report is None else report.recipients:
        for text in (one.recipient, one.original_recipient, one.action, one.status, one.diagnostic, one.remote_mta):
            assert not re.search(r"[\r\n]", text)
