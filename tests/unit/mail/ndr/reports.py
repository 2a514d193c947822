"""Non-delivery reports in the form of Exchange Online, for the tests."""

from typing import NamedTuple

MESSAGE_ID = "01890a5d-ac96-774b-bcce-b302099a8057@postern.example.com"
ADA, BOB = "ada@example.net", "bob@example.org"
MAILBOX = "noreply@contoso.com"
DIAGNOSTIC = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
HUMAN = "Ihre Nachricht wurde nicht zugestellt.\r\n\r\nFinal-Recipient: rfc822;eve@example.net\r\nAction: failed\r\n"


def block(recipient: str = ADA, action: str = "failed", status: str = "5.1.10", diagnostic: str = DIAGNOSTIC) -> str:
    """Block of one recipient in message/delivery-status."""
    return (
        f"Final-Recipient: rfc822;{recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp;{diagnostic}\r\nRemote-MTA: dns;mx.example.net\r\n"
    )


class Ndr(NamedTuple):
    """Report; None leaves a part or a header out."""

    blocks: tuple[str, ...] = (block(),)
    in_reply_to: str | None = f"<{MESSAGE_ID}>"
    references: str | None = f"<{MESSAGE_ID}>"
    returned: str | None = f"<{MESSAGE_ID}>"
    returned_type: str = "message/rfc822"
    content_type: str = "multipart/report; report-type=delivery-status"
    status_type: str = "message/delivery-status"
    boundary: str = "6f0d-_=aaaa"
    human: str = HUMAN

    def raw(self) -> bytes:
        """The message as Graph or IMAP returns it."""
        head = [
            "From: <postmaster@contoso.com>",
            f"To: <{MAILBOX}>",
            f'Content-Type: {self.content_type};\r\n\tboundary="{self.boundary}"',
            "X-MS-Exchange-Message-Is-Ndr:",
            "Message-ID: <aa@AM0PR02MB0001.eurprd02.prod.outlook.com>",
            *([f"In-Reply-To: {self.in_reply_to}"] if self.in_reply_to is not None else []),
            *([f"References: {self.references}"] if self.references is not None else []),
            "Subject: Unzustellbar: Rechnung",
            "Auto-Submitted: auto-replied",
        ]
        parts = [
            f"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/plain\r\n\r\n"
            f"{self.human}\r\n--inner--\r\n",
            f"Content-Type: {self.status_type}\r\n\r\nReporting-MTA: dns;AM0PR02MB0001.eurprd02.prod.outlook.com\r\n"
            "Arrival-Date: Mon, 30 Nov 2026 08:00:00 +0000\r\n\r\n" + "\r\n".join(self.blocks),
        ]
        if self.returned is not None:
            parts.append(
                f"Content-Type: {self.returned_type}\r\n\r\nReceived: from a by b\r\nFrom: <{MAILBOX}>\r\n"
                f"Message-ID: {self.returned}\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHi"
            )
        body = "".join(f"--{self.boundary}\r\n{part}\r\n" for part in parts)
        return ("\r\n".join(head) + f"\r\n\r\n{body}--{self.boundary}--\r\n").encode()
