"""Emails of real applications, one function for each structure. Composed here, and sent through SMTP elsewhere.

`CORPUS[name]` builds a shape on demand; naming them all costs nothing.
"""

import base64
import random
from collections.abc import Callable, Iterator, Mapping

from app.mail.message.address import Address, parse_address
from app.mail.message.message import Attachment, Submission

SHOP = parse_address("Contoso Shop <noreply@contoso.example>")
ANNA = parse_address("Anna Smith <anna@example.com>")
BORIS = parse_address('"Berg, Boris" <boris.berg@example.net>')

LOGO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Corpus(Mapping[str, Submission]):
    """Submissions by name, in the order of this file."""

    def __init__(self) -> None:
        self._shapes: dict[str, Callable[[], Submission]] = {}

    def shape(self, build: Callable[[], Submission]) -> Callable[[], Submission]:
        """Register `build` under its own name."""
        self._shapes[build.__name__] = build
        return build

    def __getitem__(self, name: str) -> Submission:
        return self._shapes[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


CORPUS = Corpus()


def file(name: str, kind: str, content: bytes, content_id: str | None = None) -> Attachment:
    """Return an attachment as the API passes it on."""
    return Attachment(name, kind, base64.b64encode(content), content_id)


@CORPUS.shape
def plain_only() -> Submission:
    return Submission(SHOP, (ANNA,), "Your parcel is on its way", text="Hello Anna,\n\nit left our house today.\n")


@CORPUS.shape
def html_only() -> Submission:
    html = (
        '<h1>Welcome</h1><p>Please <a href="https://contoso.example/confirm?t=1&amp;u=2">confirm</a> your address.</p>'
    )
    return Submission(SHOP, (ANNA,), "Welcome", html=html)


@CORPUS.shape
def one_time_code() -> Submission:
    return Submission(
        SHOP,
        (ANNA,),
        "482 913 is your code",
        text="482 913\n\nValid for 5 minutes.",
        html="<b>482 913</b>",
        expires_in=300.0,
    )


@CORPUS.shape
def receipt() -> Submission:
    rows = "".join(f"<tr><td>Article {n}</td><td align=right>{n},99 €</td></tr>" for n in range(1, 9))
    return Submission(
        SHOP,
        (ANNA,),
        "Your receipt for order 2026-1123",
        html=f"<table><tr><th>Article</th><th>Price</th></tr>{rows}</table>",
        text="\n".join(f"Article {n}  {n},99 €" for n in range(1, 9)),
        attachments=(file("receipt-2026-1123.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(range(256)) * 40),),
        tags=(("kind", "receipt"), ("order", "2026-1123")),
    )


@CORPUS.shape
def newsletter() -> Submission:
    """60 KiB of layout tables, styles for Outlook, and an unsubscribe link."""
    campaign = (
        '<tr><td style="padding:12px 24px;font-family:Segoe UI,Arial,sans-serif"><h2>Offer of the week &amp; more</h2>'
        '<p style="margin:0 0 8px">Words that <b>go on</b> for a while&hellip; '
        '<a href="https://contoso.example/o?id=7&amp;utm_source=mail">See it</a></p>'
        '<img src="https://contoso.example/7.png" alt="A red chair" width="560"></td></tr>\n'
    )
    html = (
        "<!DOCTYPE html><html><head><title>News</title><style>td{color:#222}</style></head><body>"
        "<!--[if mso]><p>Outlook</p><![endif]--><table width=600>" + campaign * 170 + "</table></body></html>"
    )
    unsubscribe = (
        "<https://contoso.example/unsubscribe/" + "a1b2c3d4" * 12 + ">, <mailto:leave@contoso.example?subject=leave>"
    )
    return Submission(
        SHOP,
        (ANNA,),
        "The autumn offers are here 🍂",
        html=html,
        headers=(
            ("List-Unsubscribe", unsubscribe),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", "Contoso News <news.contoso.example>"),
            ("Precedence", "bulk"),
        ),
    )


@CORPUS.shape
def calendar_invitation() -> Submission:
    ics = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Contoso//Booking//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
        "UID:77@contoso.example\r\nDTSTAMP:20261123T200000Z\r\nDTSTART:20261201T090000Z\r\nDTEND:20261201T093000Z\r\n"
        "ORGANIZER:mailto:noreply@contoso.example\r\nATTENDEE;RSVP=TRUE:mailto:anna@example.com\r\nSUMMARY:Prüfung\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    return Submission(
        SHOP,
        (ANNA,),
        "Invitation: inspection",
        text="Tuesday at 10.",
        html="<p>Tuesday at 10.</p>",
        attachments=(file("invite.ics", 'text/calendar; method=REQUEST; charset="UTF-8"', ics.encode()),),
    )


@CORPUS.shape
def large_attachment() -> Submission:
    content = b"%PDF-1.7\n" + random.Random(7).randbytes(10 << 20)
    return Submission(
        SHOP,
        (ANNA,),
        "The yearly report",
        text="Attached.",
        attachments=(file("report.pdf", "application/pdf", content),),
    )


@CORPUS.shape
def right_to_left() -> Submission:
    return Submission(
        parse_address("متجر كونتوسو <noreply@contoso.example>"),
        (parse_address("שרה לוי <sara@example.com>"),),
        "تأكيد الطلب رقم ١٢٣٤ - شكراً لك",
        text="שלום שרה,\n\nההזמנה שלך התקבלה.\n",
        html='<p dir="rtl">שלום שרה,</p><p dir="rtl">ההזמנה שלך התקבלה.</p>',
    )


@CORPUS.shape
def emoji() -> Submission:
    return Submission(
        parse_address("🚀 Launch <noreply@contoso.example>"),
        (ANNA,),
        "🎉🎉🎉 " + "👩‍👩‍👧‍👦" * 12 + " done",
        text="👍🏽 " * 200,
        html="<p>👍🏽</p>",
    )


@CORPUS.shape
def japanese() -> Submission:
    return Submission(
        parse_address("株式会社コントソ <noreply@日本語.jp>"),
        (parse_address("山田太郎 <yamada@example.jp>"),),
        "ご注文ありがとうございます（注文番号：二〇二六‐一一二三）" * 3,
        text="山田様\n\nご注文を承りました。\n" * 30,
        attachments=(file("請求書_二〇二六年十一月分_株式会社コントソ御中.pdf", "application/pdf", b"%PDF-1.7\n"),),
    )


@CORPUS.shape
def long_lines() -> Submission:
    """Minified HTML and a log line, each far beyond SMTP's 998 bytes a line."""
    return Submission(
        SHOP, (ANNA,), "Build log", text="x" * 998 + "\n" + "y" * 999 + "\n", html="<b>" + "z" * 70_000 + "</b>"
    )


@CORPUS.shape
def leading_dots() -> Submission:
    return Submission(SHOP, (ANNA,), ".", text=".\n..\n.hidden\n\n.\n", html="<pre>\n.\n..\n</pre>")


@CORPUS.shape
def empty_text() -> Submission:
    """An explicitly empty text part."""
    return Submission(SHOP, (ANNA,), "Only HTML", html="<p>There is no text part.</p>", text="")


@CORPUS.shape
def inline_logo_and_pdf() -> Submission:
    return Submission(
        SHOP,
        (ANNA,),
        "Your invoice",
        html='<img src="cid:logo@contoso"><p>Your invoice is attached.</p>',
        text="Your invoice is attached.",
        attachments=(
            file("logo.png", "image/png", LOGO, "logo@contoso"),
            file("invoice.pdf", "application/pdf", b"%PDF-1.7\n\x00\xff"),
        ),
    )


@CORPUS.shape
def csv_with_odd_name() -> Submission:
    """A spreadsheet export: a byte order mark in the content, umlauts, quotes and a per cent sign in the name."""
    content = "\ufeffName;Größe\r\nÄpfel;1\r\n".encode()
    return Submission(
        SHOP,
        (ANNA,),
        "Export",
        text="See attachment.",
        attachments=(
            file('Größen "Herbst" 100%.csv', "text/csv; charset=utf-8", content),
            file("\ufeffexport.csv", "text/csv", b"a,b\n"),
        ),
    )


@CORPUS.shape
def forwarded_eml() -> Submission:
    """Bare newlines and raw 8bit text, to be byte-true."""
    eml = b"From: a@example.org\nTo: b@example.org\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nRaw: \xc3\xbc\n.\n"
    return Submission(
        SHOP, (ANNA,), "Fwd: Grüße", text="See below.", attachments=(file("original.eml", "message/rfc822", eml),)
    )


@CORPUS.shape
def many_recipients() -> Submission:
    def people(prefix: str, count: int) -> tuple[Address, ...]:
        return tuple(parse_address(f"{prefix} Nº {n} <{prefix}.{n}@team.example.com>") for n in range(count))

    return Submission(SHOP, people("to", 50), "To all", text="All.", cc=people("cc", 50), bcc=people("bcc", 50))


@CORPUS.shape
def same_recipient_thrice() -> Submission:
    return Submission(SHOP, (ANNA, BORIS), "Once each", text="Once.", cc=(Address("anna", "EXAMPLE.com"),), bcc=(ANNA,))


@CORPUS.shape
def reply_to_and_headers() -> Submission:
    """A ticket system: Reply-To, thread headers, and reserved headers repeated by a library."""
    return Submission(
        SHOP,
        (BORIS,),
        "Re: [#4711] Printer on fire",
        text="> It burns.\n\nWe know.\n",
        reply_to=(parse_address("Ticket 4711 <support+4711@contoso.example>"), parse_address("help@contoso.example")),
        headers=(
            ("In-Reply-To", "<first@contoso.example>"),
            ("References", " ".join(f"<{n}.{'r' * 30}@contoso.example>" for n in range(30))),
            ("Auto-Submitted", "auto-replied"),
            ("X-Ticket", "4711"),
            ("Bcc", "secret@example.com"),
            ("Content-Type", "text/html"),
            ("X-Postern-Lane", "urgent"),
        ),
        message_id="4711.reply@contoso.example",
    )


@CORPUS.shape
def tagged() -> Submission:
    return Submission(SHOP, (ANNA,), "Tagged", text="Tags stay inside.", tags=(("campaign", "autumn-26"), ("ab", "b")))


@CORPUS.shape
def very_long_subject() -> Submission:
    return Submission(SHOP, (ANNA,), "Störung: " + "Überlauf im Puffer des Bahnhofs, " * 60 + "Ende", text="Long.")


@CORPUS.shape
def unbroken_header() -> Submission:
    return Submission(SHOP, (ANNA,), "s" * 2_000, text="Long.", headers=(("X-Trace", "t" * 5_000),))


@CORPUS.shape
def awkward_names() -> Submission:
    names = ("Doe, John", 'Jack "The \\ Ripper"', "j@x.example", "O'Neil (Sales); [x]", "=?utf-8?q?no?=", "Ünï " * 30)
    people = tuple(Address(f"p{n}", "example.com", name.strip()) for n, name in enumerate(names))
    return Submission(SHOP, people, "Names", text="Names.")


@CORPUS.shape
def international_mailbox() -> Submission:
    """A local part beyond ASCII: the one case that needs SMTPUTF8."""
    return Submission(SHOP, (parse_address("Jörg <jörg@bücher.example>"),), "Grüße", text="Grüße!")


@CORPUS.shape
def mixed_newlines() -> Submission:
    return Submission(SHOP, (ANNA,), "Newlines", text="a\rb\nc\r\nd\n\re\r\r\nf", html="<p>a\rb\nc\r\nd</p>")


@CORPUS.shape
def control_characters() -> Submission:
    return Submission(SHOP, (ANNA,), "Bell\x07 and tab\t", text="NUL \x00, bell \x07, escape \x1b[0m, form feed \x0c\n")


@CORPUS.shape
def trailing_blanks() -> Submission:
    """Lines with significant trailing blanks (the signature's `-- `), and one that resembles an mbox separator."""
    return Submission(SHOP, (ANNA,), "Blanks", text="Grüße \t\nFrom here on\n-- \nAnna\n   \n", html="<p>x </p> ")


@CORPUS.shape
def empty_attachment() -> Submission:
    return Submission(
        SHOP, (ANNA,), "Nothing", text="Empty.", attachments=(file("", "", b""), file("empty.txt", "text/plain", b""))
    )
