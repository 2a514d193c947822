"""Attempts to send as another sender, to a forbidden recipient, or with a forged header.

Each is refused, or is an email of the allowed sender to allowed recipients: read by the standard library, as stored.
"""

import email
import json
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any
from uuid import UUID

import pytest

from tests.contract.api.server import SENDER, ApiServer, Json

ALLOWED = "anna@example.com"
BOSS = "ceo@contoso.com"
EVE = "eve@example.org"
EMAIL: Json = {"from": SENDER, "to": ALLOWED, "subject": "s", "text": "t"}

# Refused.
SENDERS = [
    BOSS,
    f"{SENDER} <{BOSS}>",
    f'"{SENDER}" <{BOSS}>',
    f"{SENDER}, {BOSS}",
    f"{BOSS}, {SENDER}",
    f"<{SENDER}> <{BOSS}>",
    f"<{BOSS}> <{SENDER}>",
    f'"{SENDER}> <" <{BOSS}>',
    f"({SENDER}) <{BOSS}>",
    f"{BOSS} ({SENDER})",
    f"=?utf-8?q?=3C{BOSS.replace('@', '=40')}=3E?= <{SENDER}>",
    f"=?utf-8?b?PGNlb0Bjb250b3NvLmNvbT4=?= <{SENDER}>",
    f'"=?utf-8?q?a=22_=3C{BOSS}=3E=2C?=" <{SENDER}>',
    f"=?utf-8?q?a=0D=0AFrom=3A_{BOSS}?= <{SENDER}>",
    f"Boss\r\nFrom: {BOSS}\r\nX: <{SENDER}>",
    f"{SENDER}\r\n{BOSS}",
    f"{SENDER}\0{BOSS}",
    f"{SENDER}\0",
    "noreply+ceo@contoso.com",
    "ceo+noreply@contoso.com",
    '"noreply"@contoso.com',
    '"noreply@contoso.com "@contoso.com',
    r'"no\reply"@contoso.com',
    "noreply(ceo)@contoso.com",
    "noreply@contoso.com.",
    "noreply@.contoso.com",
    "noreply@contoso.com@fabrikam.com",
    "noreply%fabrikam.com@contoso.com",
    "fabrikam.com!noreply@contoso.com",
    f"@fabrikam.com:{SENDER}",
    f"<@contoso.com:{BOSS}>",
    "noreply@contoso.c\u043em",
    "noreply@c\u043entoso.com",
    "noreply@xn--contoso-123.com",
    "noreply@xn--cntoso-bvg.com",
    "nore\u200bply@contoso.com",
    "n\u043ereply@contoso.com",
    "noreply\u202e@contoso.com",
    "noreply@[127.0.0.1]",
    "noreply@localhost",
    "<>",
    "",
    "postmaster",
    f"Staff: {SENDER}, {BOSS};",
    f"Staff: {SENDER};",
    "undisclosed-recipients:;",
    f"{SENDER} {BOSS}",
    f"{SENDER};{BOSS}",
    f"{SENDER}\t<{BOSS}>",
    [SENDER, BOSS],
    {"email": BOSS},
    0,
]
# The allowed sender in another form.
OWN_SENDERS = [
    f'"<{BOSS}>" <{SENDER}>',
    f'"Boss <{BOSS}>" <{SENDER}>',
    f"Boss ({BOSS}) <{SENDER}>",
    f"=?utf-8?q?{BOSS.replace('@', '=40')}?= <{SENDER}>",
    f"Boss\r\n From: {BOSS} <{SENDER}>",
    f"{SENDER.upper()}",
    "noreply@contoso。com",
    "noreply@\u24d2ontoso.com",
    "noreply@con\u00adtoso.com",
    "noreply@con\u200btoso.com",
]

# Refused.
RECIPIENTS = [
    EVE,
    f"{ALLOWED}, {EVE}",
    f"{ALLOWED};{EVE}",
    f"{ALLOWED} {EVE}",
    f"{ALLOWED} <{EVE}>",
    f'"{ALLOWED}" <{EVE}>',
    f'"{ALLOWED}> <" <{EVE}>',
    f"<{ALLOWED}> <{EVE}>",
    f"<{ALLOWED}>, <{EVE}>",
    f'"x" <{ALLOWED}>, "y" <{EVE}>',
    f"=?utf-8?q?{ALLOWED}?= <{EVE}>",
    f"{ALLOWED}\r\nRCPT TO:<{EVE}>",
    f"{ALLOWED}\r\n ,{EVE}",
    f"{ALLOWED}>\r\nRCPT TO:<{EVE}",
    f"x\r\nBcc: {EVE}\r\n <{ALLOWED}>",
    f"{ALLOWED}\0{EVE}",
    f"@example.com:{EVE}",
    f"<@example.com,@example.org:{ALLOWED}>",
    "anna@example.com@example.org",
    "anna@example.com.example.org",
    "anna@example.org#@example.com",
    "anna@example.com.",
    "anna@sub.example.com",
    "anna@ex\u00e4mple.com",
    "anna@xn--exmple-cua.com",
    "anna@ex\u0430mple.com",
    f'"{EVE}> "@example.com',
    f"Staff: {ALLOWED}, {EVE};",
    f"Staff: {EVE};",
    [ALLOWED, EVE],
    [[EVE]],
    [f"{ALLOWED}", f"{ALLOWED}, {EVE}"],
    {"address": EVE},
]
# Addresses in the allowed domain.
OWN_RECIPIENTS = [
    f"=?utf-8?q?x=2C_{EVE.replace('@', '=40')}=2C?= <{ALLOWED}>",
    "eve%example.org@example.com",
    "example.org!eve@example.com",
    "anna@example。com",
    "ANNA@EXAMPLE.COM",
    '"anna"@example.com',
    f'"{EVE}"@example.com',
]

# Refused.
HEADERS = [
    {"FROM ": BOSS},
    {" From": BOSS},
    {"From\t": BOSS},
    {"From:": BOSS},
    {"Fr\u043em": BOSS},
    {"From\r\nX": BOSS},
    {"X\r\nFrom": BOSS},
    {"X: 1\r\nFrom": BOSS},
    {"": BOSS},
    {"Apparently": f"x\r\nBcc: {EVE}"},
    {"Apparently": f"x\nBcc: {EVE}"},
    {"Apparently": f"x\rBcc: {EVE}"},
    {"Apparently": f"x\r\n\r\nBcc: {EVE}"},
    {"Apparently": f"x\r\n \r\nBcc: {EVE}"},
    {"Errors-To": f"Ä\x0bBcc <{ALLOWED}>"},
    {"List-Unsubscribe": f"<https://x.example/ä\r\nBcc: {EVE}>"},
    {"Reply-To": f"{ALLOWED}\r\nBcc: {EVE}"},
    {"Message-ID": f"<a@b>\r\nBcc: {EVE}"},
]
# Accepted: without the field, or with a value that stays on its line.
HARMLESS_HEADERS = [
    {"From": BOSS},
    {"from": BOSS},
    {"Sender": BOSS},
    {"sENDER": BOSS},
    {"Return-Path": f"<{BOSS}>"},
    {"Resent-From": BOSS, "Resent-To": EVE},
    {"resent-sender": BOSS, "resent-bcc": EVE},
    {"Bcc": EVE},
    {"bcc": EVE},
    {"Cc": EVE},
    {"To": EVE},
    {"Apparently": f"x\x85Bcc: {EVE}"},
    {"Apparently": f"x\u2028Bcc: {EVE}"},
    {"Apparently": f"=?utf-8?q?x=0D=0ABcc=3A_{EVE}?="},
    {"Subject": "other"},
    {"Date": "Thu, 1 Jan 1970 00:00:00 +0000"},
    {"Received": "from contoso.com"},
    {"DKIM-Signature": "v=1; d=contoso.com"},
    {"Authentication-Results": "contoso.com; spf=pass"},
    {"ARC-Seal": "i=1"},
    {"X-MS-Exchange-Organization-SCL": "-1"},
    {"X-MS-Exchange-Organization-AuthAs": "Internal"},
    {"Content-Type": "text/html"},
    {"MIME-Version": "2.0"},
    {"X-Postern-Original-To": BOSS},
]

_OURS = {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding"}


@pytest.fixture(scope="module")
def key(server: ApiServer) -> str:
    """Key for one sender and one domain of recipients."""
    return server.make_key(senders=(SENDER,), recipients=("*@example.com",))


def stored(server: ApiServer, content: bytes, key: str) -> str | None:
    """Return the id of the email, or None if refused. A stored one has the allowed sender and domain."""
    before = server.count()
    response = server.post(content, key=key)
    if response.status_code != 200:
        assert response.status_code in (400, 403, 422), response.text
        assert server.count() == before
        return None
    id_ = str(response.json()["id"])
    raw = server.run(server.store.content(UUID(id_)))
    assert raw is not None
    message = email.message_from_bytes(raw)
    assert [spec.lower() for _, spec in getaddresses(message.get_all("From", []))] == [SENDER]
    assert not message.get_all("Sender", []) + message.get_all("Bcc", [])
    names = [name.lower() for name in message.keys()]  # noqa: SIM118 - the names of a message may repeat
    assert all(names.count(name) == 1 for name in _OURS)
    shown = server.get(f"/emails/{id_}").json() if key == server.key else server.get(f"/emails/{id_}", key=key).json()
    recipients = [one["address"] for one in shown["relay"]["recipients"]]
    assert {one.rpartition("@")[2] for one in recipients} == {"example.com"}
    named = getaddresses([str(make_header(decode_header(value))) for value in message.get_all("To", [])])
    assert {spec.rpartition("@")[2] for _, spec in named if "@" in spec} <= {"example.com"}
    return id_


@pytest.mark.parametrize("sender", SENDERS, ids=ascii)
def test_another_sender_is_refused(server: ApiServer, key: str, sender: Any) -> None:
    assert stored(server, json.dumps(EMAIL | {"from": sender}).encode(), key) is None


@pytest.mark.parametrize("sender", OWN_SENDERS, ids=ascii)
def test_another_form_of_the_sender_is_the_sender(server: ApiServer, key: str, sender: str) -> None:
    assert stored(server, json.dumps(EMAIL | {"from": sender}).encode(), key)


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("recipient", RECIPIENTS, ids=ascii)
def test_a_recipient_outside_the_allowed_domain_is_refused(
    server: ApiServer, key: str, field: str, recipient: Any
) -> None:
    assert stored(server, json.dumps(EMAIL | {field: recipient}).encode(), key) is None


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("recipient", OWN_RECIPIENTS, ids=ascii)
def test_a_recipient_in_the_allowed_domain_is_stored_in_it(
    server: ApiServer, key: str, field: str, recipient: str
) -> None:
    assert stored(server, json.dumps(EMAIL | {field: recipient}).encode(), key)


@pytest.mark.parametrize("headers", HEADERS, ids=ascii)
def test_a_header_with_a_bad_name_or_a_line_break_is_refused(server: ApiServer, key: str, headers: Json) -> None:
    assert stored(server, json.dumps(EMAIL | {"headers": headers}).encode(), key) is None


@pytest.mark.parametrize("headers", HARMLESS_HEADERS, ids=ascii)
def test_no_custom_header_forges_identity(server: ApiServer, key: str, headers: Json) -> None:
    """None names another sender or recipient, ends a line or imitates a server's trace field."""
    id_ = stored(server, json.dumps(EMAIL | {"headers": headers}).encode(), key)
    assert id_ is not None
    message = server.message(id_)
    assert {name.lower() for name in message} - _OURS <= {"apparently"}
    assert (message["subject"], message["mime-version"]) == ("s", "1.0")
    assert "example.org" not in str(message["to"])


@pytest.mark.parametrize(
    ("members", "accepted"),
    [
        (f'"from": "{SENDER}", "from": "{BOSS}"', False),
        (f'"from": "{BOSS}", "from": "{SENDER}"', True),
        (f'"from": "{SENDER}", "From": "{BOSS}"', True),
        (f'"from": "{SENDER}", "sender": "{BOSS}"', True),
        (f'"from": "{SENDER}", "\\u0066rom": "{BOSS}"', False),
        (f'"from": "{SENDER}", "to": "{EVE}"', False),
        (f'"from": "{SENDER}", "bcc": "{EVE}", "bcc": []', True),
        (f'"from": "{SENDER}", "bcc": [], "bcc": "{EVE}"', False),
        (f'"from": "{SENDER}", "headers": {{"X-A": "1"}}, "headers": {{"Bcc": "{EVE}"}}', True),
        (f'"from": "{SENDER}", "headers": {{"X-A": "1", "X-A": "2\\r\\nBcc: {EVE}"}}', False),
    ],
)
def test_of_a_repeated_member_one_counts_everywhere(server: ApiServer, key: str, members: str, accepted: bool) -> None:
    body = f'{{"to": "{ALLOWED}", "subject": "s", "text": "t", {members}}}'
    assert (stored(server, body.encode(), key) is not None) == accepted


def test_the_plain_email_is_accepted(server: ApiServer, key: str) -> None:
    """So that the others are not refused for another reason."""
    for sender in (SENDER, f"Contoso <{SENDER}>", f'"A -> B" <{SENDER}>'):
        assert stored(server, json.dumps(EMAIL | {"from": sender}).encode(), key)


@pytest.mark.parametrize("bcc", ["hidden@example.com", ["H <hidden@example.com>"]])
def test_bcc_is_in_the_envelope_only(server: ApiServer, key: str, bcc: Any) -> None:
    """Also as the only recipient of a Postmark email."""
    id_ = stored(server, json.dumps(EMAIL | {"bcc": bcc}).encode(), key)
    assert id_ is not None
    assert b"hidden" not in (server.run(server.store.content(UUID(id_))) or b"")
    only = {"From": SENDER, "Bcc": "hidden@example.com", "Subject": "s", "TextBody": "t"}
    body = server.post(only, "/email", key=key).json()
    assert b"hidden" not in (server.run(server.store.content(UUID(body["MessageID"]))) or b"")
