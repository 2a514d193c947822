"""Exchange Online's replies on smtp.office365.com:587, as rows of data. Judges nothing: that is policy's.

The first row that knows a reply decides. The files follow the dialogue; within each, a row that asks for more stands
before the row that asks for less.
"""

from app.mail.office365 import content, envelope, login, mailbox, opening, outbound, throttling
from app.mail.rule import Rule

RULES: tuple[Rule, ...] = (
    *opening.RULES,
    *login.RULES,
    *envelope.RULES,
    *throttling.RULES,
    *mailbox.RULES,
    *content.RULES,
    *outbound.RULES,
)
