"""Rules for the replies of smtp.office365.com:587, as data; `app.mail.policy` applies them.

Of the rules for a reply code, the first with a matching sentence (`Rule.text`) applies, else the first that matches by
enhanced code and words. The files follow the SMTP dialogue. A more specific rule comes before a more general one, so
the lockouts come before the errors that cause them.
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
