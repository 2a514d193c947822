"""Composing alone (G10): ours and the standard library's EmailMessage, from the same texts and the same file."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from random import Random
from uuid import UUID

from app.mail.message.address import parse_address
from app.mail.message.message import Attachment, Submission, compose

_SECONDS = 0.3  # that one measurement takes
_ID = UUID("01939f5e-0000-7000-8000-000000000000")
_NOW = datetime(2026, 11, 23, tzinfo=UTC)
_SENDER, _TO, _SUBJECT = "Contoso Shop <noreply@contoso.com>", "Ada Lovelace <ada@example.net>", "Your receipt"
_FILE = Random(1815).randbytes(1024 * 1024)
_LINE = "Article 18, a red chair with arms, for 15,99 € each, in the house of Müller"
TEXT = "\n".join([_LINE] * 26) + "\n"  # 2 KiB
HTML = "<table>" + "".join(f"<tr><td>{_LINE}</td></tr>\n" for _ in range(52)) + "</table>\n"  # 5 KiB

Figures = dict[str, float]


def ours() -> Figures:
    """Milliseconds for app/mail/compose."""
    file = Attachment("receipt.pdf", "application/pdf", base64.b64encode(_FILE))
    small = Submission(parse_address(_SENDER), (parse_address(_TO),), _SUBJECT, html=HTML, text=TEXT)
    large = Submission(small.sender, small.to, _SUBJECT, text="See the file.\n", attachments=(file,))
    return {
        "compose_small": _milliseconds(partial(compose, small, id=_ID, now=_NOW)),
        "compose_large": _milliseconds(partial(compose, large, id=_ID, now=_NOW)),
    }


def standard() -> Figures:
    """Milliseconds for EmailMessage. It is handed the file decoded, which a JSON API would have to do first."""
    return {"compose_small": _milliseconds(_small), "compose_large": _milliseconds(_large)}


def _headed() -> EmailMessage:
    message = EmailMessage(SMTP)
    message["From"], message["To"], message["Subject"], message["Date"] = _SENDER, _TO, _SUBJECT, _NOW
    message["Message-ID"] = f"<{_ID}@contoso.com>"
    return message


def _small() -> bytes:
    message = _headed()
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    return message.as_bytes()


def _large() -> bytes:
    message = _headed()
    message.set_content("See the file.\n")
    message.add_attachment(_FILE, "application", "pdf", filename="receipt.pdf")
    return message.as_bytes()


def _milliseconds(work: Callable[[], object]) -> float:
    """Of one call, as the mean over some tenths of a second."""
    work()
    began, calls = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < _SECONDS:
        work()
        calls += 1
    return took / calls * 1000
