"""One public reply and the rule that must match it."""

from typing import NamedTuple

from app.mail.outcome.attempt import Phase

FRONT = "[FR4P281CA0258.DEUP281.PROD.OUTLOOK.COM 2026-05-17T18:38:18.362Z 08DEB430F51D1974]"
BACK = "[Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]"
OTHER_FRONT = "[SN2PR00CA0018.namprd00.prod.outlook.com]"
OTHER_BACK = "[Hostname=AM0PR02MB0001.eurprd02.prod.outlook.com]"

UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful, "
SUBMISSION = "STOREDRV.Submission.Exception:"
PERMANENT = "; Failed to process message due to a permanent exception with message "
SPAM = f"554 5.2.0 {SUBMISSION}OutboundSpamException{PERMANENT}WASCL UserAction verdict is not None. Actual verdict is "


class Sample(NamedTuple):
    """One reply and the row that is to know it."""

    rule: str
    phase: Phase
    text: str  # one line; the places {front} and {back} take the tail of the day

    def line(self, front: str = FRONT, back: str = BACK) -> str:
        """Return the reply as this front end and back end send it."""
        return self.text.replace("{front}", front).replace("{back}", back)
