"""Codes and sentences that others have collected: how many have a row here, and are temporary or permanent as there.

The collections have no such sense of their own but the class of the code (RFC 3463 §2): 4 is temporary, 5 permanent.
Every row of class 5 that is temporary here is in TEMPORARY, with the reason; all others have the sense of their class.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.mail.office365.bounces.lookup import explain_bounce

LIMIT = "a limit of an hour or a day, which passes by itself"
FULL = "the recipient's mailbox is full until its owner removes something"
UNREACHABLE = (
    "the recipient's servers or name servers did not answer in the time that Exchange tries; they may do again"
)
TEMPORARY = {
    "5.1.90": LIMIT,
    "5.2.2": FULL,  # and LIMIT, with the sentence of the sender's own
    "5.2.121": LIMIT,
    "5.2.122": LIMIT,
    "5.7.508": LIMIT,
    "5.4.300": UNREACHABLE,
    "5.4.312": UNREACHABLE,
    "5.4.316": UNREACHABLE,
    "5.4.318": UNREACHABLE,
}
UNKNOWN = {
    "4.7.3",  # of Outlook.com to other senders than its own
    "5.5.4",  # of a server on premises to a client's HELO
}


class Row(NamedTuple):
    """Row of outside.tsv: collection, code, beginning of the sentence in lower case."""

    collection: str
    code: str
    text: str


def rows() -> Iterator[Row]:
    """Yield the rows."""
    for line in (Path(__file__).parent / "outside.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            yield Row(*line.split("\t"))


def test_the_share_with_a_row() -> None:
    """At least 95 %, and the others are those that Office 365 does not send about our mail."""
    unknown = {row.code for row in rows() if not explain_bounce(row.code, row.text).rule.known}
    assert unknown == UNKNOWN
    every = [*rows()]
    known = sum(row.code not in UNKNOWN for row in every)
    print(f"known: {known} of {len(every)} ({known / len(every):.1%})")
    assert known >= 0.95 * len(every)


def test_the_share_with_the_same_sense() -> None:
    """At least 99 % of those that are not listed with a reason; and the whole share, as a figure."""
    every = [*rows()]
    other = [row for row in every if explain_bounce(row.code, row.text).permanent != (row.code[0] == "5")]
    print(f"sense of the class: {len(every) - len(other)} of {len(every)} ({1 - len(other) / len(every):.1%})")
    assert {row.code for row in other} == TEMPORARY.keys()
    rest = [row for row in every if row.code not in TEMPORARY]
    same = [row for row in rest if explain_bounce(row.code, row.text).permanent == (row.code[0] == "5")]
    print(f"without the listed codes: {len(same)} of {len(rest)}")
    assert len(same) >= 0.99 * len(rest)
