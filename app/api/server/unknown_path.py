"""Messages of the 404 for a path that no route has, with the path of the documentation and, if known, the right one."""

import re

from app.mail.safe_text import cut

DOCS_PATH = "/docs"
_OTHER_APIS = {  # by the path with which each of them sends an email
    "SendGrid": re.compile("/v3/mail/send"),
    "Mailgun": re.compile(r"/v[34]/[^/]+/messages(?:\.mime)?"),
    "Mailjet": re.compile(r"/v3(?:\.1)?/send"),
    "Brevo": re.compile("/v3/smtp/email"),
    "Mandrill": re.compile(r"/api/1\.[0-9]/messages/.*"),
    "SparkPost": re.compile("/api/v1/transmissions"),
    "Amazon SES": re.compile("/v2/email/outbound-emails"),
    "MailerSend": re.compile("/v1/(?:bulk-)?email"),
    "Mailtrap": re.compile("/api/send(?:/[^/]+)?"),
}
_VERSIONED = re.compile(r"/(?:api/)?v[0-9][0-9.]*(/.*)?")


def sentence(path: str, docs: str | None) -> str:
    """Return the message for this path. `docs`: path of the documentation; None where it is not served."""
    said = _fault(path)
    return f"{said} The API is described at {docs}." if docs else said


def _fault(path: str) -> str:
    shown = cut(path)
    if path == "/":
        return "This is Postern, which sends emails: use POST /emails."
    for name, form in _OTHER_APIS.items():
        if form.fullmatch(path):
            has = "Postern has the APIs of Resend (POST /emails) and Postmark (POST /email)"
            return f"{shown} is a path of {name}. {has}."
    if match := _VERSIONED.fullmatch(path):
        return f"There is nothing at {shown}. Paths have no version here: use {cut(match[1] or '/emails')}."
    return f"There is nothing at {shown}."
