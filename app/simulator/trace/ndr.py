"""Non-delivery reports of the simulated tenant, in the form of Exchange Online (RFC 3464)."""

from email.utils import formatdate

from app.simulator.recorder import ReceivedMessage
from app.simulator.trace.fates import Step

POSTMASTER = "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e"
_HOST = "AM0PR02MB0001.eurprd02.prod.outlook.com"
_HUMAN = {
    "failed": "Ihre Nachricht konnte nicht zugestellt werden.\r\n\r\nYour message couldn't be delivered.\r\n",
    "delayed": "Die Zustellung ist verzögert.\r\n\r\nDelivery is delayed.\r\n",
}
_SUBJECTS = {"failed": "=?utf-8?q?Unzustellbar=3A_?=", "delayed": "=?utf-8?q?Verz=C3=B6gert=3A_?="}


def report(
    message: ReceivedMessage, recipient: str, step: Step, at: float, *, message_id: str, referenced: bool = True
) -> bytes:
    """Return the report about one recipient at `at` (epoch seconds): of a bounce, or of a delay.

    `message_id` is that of the message, with brackets. `referenced`: the header of the report names it too.
    """
    action = "failed" if step.status == "failed" else "delayed"
    code = step.code or "4.4.7"
    number = f"{code[:1]}50"
    head, _, _ = message.content.partition(b"\r\n\r\n")
    links = f"In-Reply-To: {message_id}\r\nReferences: {message_id}\r\n" if referenced else ""
    top = (
        f"From: <{POSTMASTER}@{message.mail_from.rpartition('@')[2]}>\r\n"
        f"To: <{message.mail_from}>\r\n"
        f"Date: {formatdate(at)}\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="_report_{message.id}_"\r\n'
        f"X-MS-Exchange-Message-Is-Ndr:\r\n"
        f"Message-ID: <{message.id}.{int(at)}@{_HOST}>\r\n"
        f"{links}"
        f"Subject: {_SUBJECTS[action]}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
    )
    status = (
        f"Reporting-MTA: dns;{_HOST}\r\nArrival-Date: {formatdate(message.at)}\r\n\r\n"
        f"Final-Recipient: rfc822;{recipient}\r\nAction: {action}\r\nStatus: {code}\r\n"
        f"Diagnostic-Code: smtp;{number} {code} {step.text}\r\nRemote-MTA: dns;mx.example.net\r\n"
    )
    parts = (
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{_HUMAN[action]}".encode(),
        f"Content-Type: message/delivery-status\r\n\r\n{status}".encode(),
        b"Content-Type: message/rfc822\r\n\r\n" + head + b"\r\n\r\n",
    )
    boundary = f"--_report_{message.id}_".encode()
    body = b"".join(boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return top.encode() + b"\r\n" + body + boundary + b"--\r\n"
