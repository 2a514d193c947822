"""Replies of Exchange Online, verbatim, and their encoding; error replies are in error_replies.toml, by phase.

A text can contain the placeholders `{frontend}` (host, date and session of the front end), `{backend}` (host of the
mailbox's back end), `{mailbox}`, `{sender}` and `{verb}`, which `fill` replaces. If Microsoft's text is known only
in part, the rest is a short plausible text.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from app.mail.outcome.attempt import Phase


class ErrorReply(str):
    """Text of an error reply, with its phase. Lines are joined by LF."""

    __slots__ = ("phase",)
    phase: Phase

    def __new__(cls, phase: Phase, text: str) -> Self:
        """Return the text with its phase."""
        reply = super().__new__(cls, text)
        reply.phase = phase
        return reply


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders in `text`. str.format cannot be used: texts of Exchange contain braces."""
    if "{" not in text:
        return text
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def encode(text: str) -> bytes:
    """Return the bytes of a reply (RFC 5321 §4.2.1), with the code before every line."""
    if "\n" not in text:
        return text.encode("utf-8", "surrogateescape") + b"\r\n"
    code, lines = text[:3], text.split("\n")
    texts = [line[4:] if line[:3] == code else line for line in lines]
    framed = [f"{code}-{line}\r\n" for line in texts[:-1]] + [f"{code} {texts[-1]}\r\n"]
    return "".join(framed).encode("utf-8", "surrogateescape")


# Host names in replies.
SMTP_HOST = "SY5P282CA0097.outlook.office365.com"  # in the greeting and in EHLO
FRONTEND = "SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM"
BACKEND = "SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM"

# Replies without errors.
READY_FOR_TLS = "220 2.0.0 SMTP server ready"
AUTHENTICATED = "235 2.7.0 Authentication successful"
ASK_USERNAME = "334 VXNlcm5hbWU6"
ASK_PASSWORD = "334 UGFzc3dvcmQ6"  # noqa: S105 - base64 of "Password:"
ASK_TOKEN = "334 "  # noqa: S105 - an empty challenge
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
START_INPUT = "354 Start mail input; end with <CRLF>.<CRLF>"
RESETTING = "250 2.0.0 Resetting"
NOOP_OK = "250 2.0.0 OK"
CANNOT_VERIFY = "252 2.1.5 Cannot VRFY user"
CLOSING = "221 2.0.0 Service closing transmission channel"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
INVALID_ARGUMENTS = "501 5.5.4 Invalid arguments"
LINE_TOO_LONG = "500 5.5.2 Line too long"
UNKNOWN_VERB = "500 5.3.3 Unrecognized command '{verb}' [{frontend}]"

_FILE = Path(__file__).with_name("error_replies.toml")
ROWS: Mapping[str, ErrorReply] = {
    name: ErrorReply(Phase(phase), text)
    for phase, rows in tomllib.loads(_FILE.read_text("utf-8")).items()
    for name, text in rows.items()
}
# Those that the simulator sends without a fault.
CONNECTION_TIMED_OUT = ROWS["connection_timed_out"]
INVALID_DOMAIN_NAME = ROWS["invalid_domain_name"]
UNRECOGNIZED_AUTHENTICATION = ROWS["unrecognized_authentication"]
AUTHENTICATION_UNSUCCESSFUL = ROWS["authentication_unsuccessful"]
CREDENTIALS_INCORRECT = ROWS["credentials_incorrect"]
NOT_AUTHENTICATED = ROWS["not_authenticated"]
INVALID_SENDER = ROWS["invalid_sender"]
SIZE_EXCEEDED = ROWS["size_exceeded"]
INVALID_RECIPIENT = ROWS["invalid_recipient"]
TOO_MANY_RECIPIENTS = ROWS["too_many_recipients"]
CONCURRENT_CONNECTIONS = ROWS["concurrent_connections"]
SENDER_THREAD_LIMIT = ROWS["sender_thread_limit"]
SEND_AS_DENIED = ROWS["send_as_denied"]
SENDER_QUOTA_EXCEEDED = ROWS["sender_quota_exceeded"]
MAX_SUBMISSION_EXCEEDED = ROWS["max_submission_exceeded"]
MULTIPLE_FROM = ROWS["multiple_from"]
BARE_LINEFEEDS = ROWS["bare_linefeeds"]
NOT_RFC_5322 = ROWS["not_rfc_5322"]
