"""Exchange Online's replies on smtp.office365.com:587, as rows of data. Judges nothing: that is policy's.

The first row that knows a reply decides. The files follow the dialogue; a row that asks for more stands before the row
that asks for less, and so the lockouts stand before the errors they are named after.
"""

from app.mail.office365 import content, endpoint, envelope, login, mailbox, opening, outbound, throttling
from app.mail.rule import Rule

RULES: tuple[Rule, ...] = (
    *opening.RULES,
    *login.RULES,
    *throttling.RULES,
    *endpoint.RULES,
    *envelope.RULES,
    *mailbox.RULES,
    *content.RULES,
    *outbound.RULES,
)
