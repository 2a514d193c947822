"""Constructors of the rules for bounces, one for each responsible party, and fixes that several rules share.

`action` is FAIL if the same email to the same address bounces again until somebody changes something, DEFER if time
alone can help. A code of class 4 is temporary in either case (RFC 3463 §2).
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.outcome.attempt import Phase
from app.mail.outcome.rule import failed_recipient_rule
from app.mail.outcome.verdict import Action, Confidence, Responsible

bounce_rule = partial(
    failed_recipient_rule,
    phases=frozenset({Phase.DOT}),  # Exchange has accepted the message
    codes=range(400, 600),
    source=sources.NON_DELIVERY,
    confidence=Confidence.HIGH,
)
address_rule = partial(bounce_rule, responsible=Responsible.ADDRESS)
receiver_rule = partial(bounce_rule, responsible=Responsible.RECEIVER)
reputation_rule = partial(bounce_rule, responsible=Responsible.REPUTATION)
sender_rule = partial(bounce_rule, responsible=Responsible.SENDER)
microsoft_rule = partial(bounce_rule, responsible=Responsible.MICROSOFT, action=Action.DEFER)
deferred_receiver_rule = partial(receiver_rule, action=Action.DEFER)

ASK = "Ask the recipient, by another way than email, to have mail from you allowed."
SERVER = (
    "Only the recipient's mail administrator can fix it. The reply names the server; tell the administrator its text."
)
AGAIN = "Exchange tries for up to 24 hours. If the email bounced in the end, send it again later."
AGAIN_IF_BOUNCED = f"Nothing to do while it is delayed. {AGAIN}"
DNS = (
    "Set up SPF (include:spf.protection.outlook.com), DKIM and DMARC for the sender's domain: "
    "https://security.microsoft.com, Email authentication settings. `postern check` compares the DNS records."
)
LESS = (
    "Send only to recipients who expect the email, remove dead addresses, and set up SPF, DKIM and DMARC. Ask the "
    "recipient's administrator to allow your domain."
)
