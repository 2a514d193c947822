"""Composed messages, parsed again by the standard library."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import Address
from app.mail.message.message import Attachment, Message, Submission, compose
from tests.unit.mail.message.corpus import ANNA, BORIS, CORPUS, SHOP
from tests.unit.mail.message.mime_oracle import check_message, parsed, raw

ID = UUID("0198f0c0-5a5a-7000-8000-00000000002a")
NOW = datetime(2026, 11, 23, 20, 8, 28, tzinfo=UTC)


def composed(submission: Submission) -> Message:
    return compose(submission, id=ID, now=NOW)


ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=300)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("ab \t.=\r\n\x07ü\u65e5", max_size=400),
    st.builds("{0}{1}".format, st.sampled_from(["x" * 998, "y" * 999, "ü" * 700, "z" * 5000]), st.text(max_size=9)),
).map(lambda text: text.encode(errors="replace").decode())
LOCALS = st.sampled_from(["anna", "o'neil+x", '"a b"', "jörg", "用户"])
ADDRESSES = st.builds(Address, LOCALS, st.sampled_from(["example.com", "xn--bcher-kva.example"]), ONE_LINE)
HEADERS = st.tuples(
    st.from_regex(r"X-[!-9;-~]{1,60}", fullmatch=True).filter(lambda name: not name.lower().startswith("x-postern-")),
    st.one_of(ONE_LINE, st.text("ab <>.", max_size=3000)).filter(lambda value: "=?" not in value),
)
KINDS = st.sampled_from(
    [
        "application/pdf",
        "text/calendar; method=REQUEST",
        'text/csv; charset="x y"',
        "message/rfc822",
        "multipart/mixed",
        "",
        "a/b;c",
    ]
)
FILES = st.builds(
    Attachment,
    filename=st.text(st.characters(exclude_categories=["Cs"]), max_size=120),
    content_type=st.one_of(KINDS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    base64=st.binary(max_size=300).map(base64.b64encode),
    content_id=st.none() | st.from_regex(r"[!-;=?-~]{1,128}", fullmatch=True).filter(lambda id: "=?" not in id),
)
SUBMISSIONS = st.builds(
    Submission,
    sender=ADDRESSES,
    to=st.lists(ADDRESSES, min_size=1, max_size=4).map(tuple),
    cc=st.lists(ADDRESSES, max_size=2).map(tuple),
    bcc=st.lists(ADDRESSES, max_size=2).map(tuple),
    reply_to=st.lists(ADDRESSES, max_size=2).map(tuple),
    subject=ONE_LINE,
    text=st.one_of(st.none(), TEXT),
    html=st.one_of(st.none(), TEXT),
    headers=st.lists(HEADERS, max_size=3).map(tuple),
    attachments=st.lists(FILES, max_size=3).map(tuple),
    tags=st.lists(st.tuples(ONE_LINE, ONE_LINE), max_size=1).map(tuple),
)


@given(SUBMISSIONS)
def test_any_submission_is_parsed_back(submission: Submission) -> None:
    """Texts, names, values and bytes, on lines that SMTP allows."""
    check_message(submission, composed(submission))


@pytest.mark.parametrize("name", CORPUS)
def test_real_emails_are_parsed_back(name: str) -> None:
    submission = CORPUS[name]
    check_message(submission, composed(submission))


def test_equal_arguments_give_equal_bytes() -> None:
    """Another id changes boundaries and Message-ID."""
    submission = CORPUS["inline_logo_and_pdf"]
    first = composed(submission)
    assert composed(submission) == first
    other = compose(submission, id=UUID(int=1), now=NOW)
    assert raw(other).get_boundary() != raw(first).get_boundary()
    assert other.message_id != first.message_id


def test_the_message_id_has_id_and_sender_domain() -> None:
    """Unless the caller gives one."""
    assert composed(CORPUS["plain_only"]).message_id == f"{ID}@contoso.example"
    own = composed(CORPUS["reply_to_and_headers"])
    assert own.message_id == "4711.reply@contoso.example"
    assert parsed(own)["Message-ID"] == "<4711.reply@contoso.example>"


def test_date_is_utc() -> None:
    """For a time in any zone; a naive time is a bug."""
    abroad = NOW.astimezone(timezone(timedelta(hours=9)))
    message = compose(CORPUS["plain_only"], id=ID, now=abroad)
    assert raw(message)["Date"] == "Mon, 23 Nov 2026 20:08:28 +0000"
    with pytest.raises(ValueError, match="aware"):
        compose(CORPUS["plain_only"], id=ID, now=NOW.replace(tzinfo=None))


def test_bcc_is_in_the_envelope_alone() -> None:
    """Its address is not in the content, even if the caller repeats it as a header."""
    hidden = Address("hidden", "example.org", "Hidden")
    submission = Submission(
        SHOP,
        (ANNA,),
        "x",
        text="x",
        bcc=(hidden,),
        headers=(("BCC", "hidden@example.org"), ("bcc", "hidden@example.org")),
    )
    message = composed(submission)
    assert message.envelope.rcpt_to == ("anna@example.com", "hidden@example.org")
    assert b"hidden" not in message.content.lower()


def test_the_envelope_has_each_recipient_once_in_order() -> None:
    """Domains compare without case, local parts exactly."""
    submission = Submission(
        SHOP,
        (ANNA, BORIS, Address("Anna", "example.com")),
        "x",
        text="x",
        cc=(Address("anna", "EXAMPLE.com"),),
        bcc=(BORIS, Address("carl", "example.com")),
    )
    envelope = composed(submission).envelope
    assert envelope.mail_from == "noreply@contoso.example"
    assert envelope.rcpt_to == (
        "anna@example.com",
        "boris.berg@example.net",
        "Anna@example.com",
        "carl@example.com",
    )


@pytest.mark.parametrize("role", ["sender", "to", "cc", "bcc", "reply_to"])
def test_smtputf8_only_for_a_local_part(role: str) -> None:
    """Never for a name, a subject or a domain."""
    local, name = Address("jörg", "example.com"), Address("j", "xn--bcher-kva.example", "Jörg")
    for address, expected in ((local, True), (name, False)):
        people = {"sender": SHOP, "to": (ANNA,), role: address if role == "sender" else (address,)}
        submission = Submission(subject="Grüße", text="ü", **people)  # type: ignore[arg-type]  # built by role
        message = composed(submission)
        assert message.envelope.smtputf8 is expected
        check_message(submission, message)
