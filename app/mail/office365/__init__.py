"""Exchange Online's replies on smtp.office365.com:587, as rows of data. Judges nothing: that is policy's.

The first row that knows a reply decides. The files follow the dialogue; a row that asks for more stands before the row
that asks for less, and so the lockouts stand before the errors they are named after.
"""

from app.mail.office365 import connect, content, endpoint, envelope, login, mailbox, outbound, throttling
from app.mail.outcome.rule import Rule

RULES: tuple[Rule, ...] = (
    *connect.RULES,
    *login.RULES,
    *throttling.RULES,
    *endpoint.RULES,
    *envelope.RULES,
    *mailbox.RULES,
    *content.RULES,
    *outbound.RULES,
)
