"""Codes and sentences that others have collected: how many have a row here, and how many the sense that others give.

Senses are compared as the collections have them, not by the class of the code. A disagreement counts, whoever is right.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from app.mail.delivery.bounce import BounceType, Cause, classify
from app.mail.office365.bounces.lookup import explain_bounce

OF_OFFICE_365 = frozenset("SRNM")  # collections; the others are about all servers
UNKNOWN = {
    "4.7.3",  # of Outlook.com to other senders than its own
    "5.5.4",  # of a server on premises to a client's HELO
}
REMOVE, RETRY, CHANGE = "remove", "retry", "change"
MEANINGS: Mapping[str, frozenset[str]] = {
    "hard": frozenset({REMOVE}),
    "soft": frozenset({RETRY, CHANGE}),
    "reject": frozenset({REMOVE, CHANGE}),
    "defer": frozenset({RETRY}),
    **{sense: frozenset({sense}) for sense in (REMOVE, RETRY, CHANGE)},
}
# Rows of Office 365 in which the sense here is another one, each with the reason.
OTHERWISE = {
    ("S", "5.1.4"): "ambiguous address: the sender has to correct it; hard in A, too",
    ("S", "5.3.2"): "STOREDRV: a mailbox that its administrator has to repair; the address is good",
    ("S", "5.4.4"): "the domain does not exist; hard in A, too",
    ("S", "5.4.310"): "the domain does not exist; hard in A, too",
    ("S", "5.7.504"): "the address is not valid, says Microsoft (N)",
    ("S", "5.7.505"): "the address is not valid, says Microsoft (N)",
    ("R", "5.1.351"): "User unknown; hard in R itself with the address before it, and in S",
    ("N", "5.1.0"): "recipient or sender; the real report of R is about the sender's SPF record",
}
MINORITY = {"5.3.2"}  # the code in OTHERWISE on which no other collection agrees with this one


class Row(NamedTuple):
    """Row of outside.tsv: collection, code, beginning of the sentence in lower case, sense or "-"."""

    collection: str
    code: str
    text: str
    sense: str


def rows() -> Iterator[Row]:
    """Yield the rows."""
    for line in (Path(__file__).parent / "outside.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            yield Row(*line.split("\t"))


def sense_here(row: Row) -> str:
    """Return the sense that a caller sees: the bounce's type, else whether the same email fails again."""
    kind, _ = classify(Cause(row.code, row.text))
    if kind is BounceType.PERMANENT:
        return REMOVE
    return CHANGE if explain_bounce(row.code, row.text).permanent else RETRY


def is_same(row: Row) -> bool:
    """Return whether the sense here is one that the row means."""
    return sense_here(row) in MEANINGS[row.sense]


def most_named(group: Collection[Row]) -> frozenset[str]:
    """Return the senses that most collections admit; each collection counts once."""
    votes: Counter[str] = Counter()
    for collection in {row.collection for row in group}:
        meanings = [MEANINGS[row.sense] for row in group if row.collection == collection]
        votes.update(frozenset.intersection(*meanings) or frozenset.union(*meanings))
    return frozenset(sense for sense, number in votes.items() if number == max(votes.values()))


def test_the_share_with_a_row() -> None:
    """At least 95 %, and the others are those that Office 365 does not send about our mail."""
    every = [row for row in rows() if row.collection in OF_OFFICE_365]
    unknown = {row.code for row in every if not explain_bounce(row.code, row.text).rule.known}
    assert unknown == UNKNOWN
    known = sum(row.code not in UNKNOWN for row in every)
    print(f"known: {known} of {len(every)} ({known / len(every):.1%})")
    assert known >= 0.95 * len(every)


def test_the_share_with_the_same_sense() -> None:
    """At least 99 % of the bounces that Office 365 brings: the sense is one that most collections give the bounce.

    A bounce is the rows of one code that have the same rule here. Ties count as the same.
    """
    every = [*rows()]
    brought = {row.code for row in every if row.collection in OF_OFFICE_365}
    bounces: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in every:
        if row.code in brought and row.sense != "-":
            bounces[row.code, explain_bounce(row.code, row.text).rule.name].append(row)
    other = [group for group in bounces.values() if sense_here(group[0]) not in most_named(group)]
    same = len(bounces) - len(other)
    print(f"same sense as most collections: {same} of {len(bounces)} ({same / len(bounces):.1%})")
    assert {group[0].code for group in other} == MINORITY
    assert same >= 0.99 * len(bounces)


def test_each_disagreement_about_office_365_has_a_reason() -> None:
    """The shares of each collection, as figures."""
    every = [row for row in rows() if row.sense != "-"]
    for collection, number in Counter(row.collection for row in every).items():
        same = sum(is_same(row) for row in every if row.collection == collection)
        print(f"{collection}: {same} of {number} ({same / number:.1%})")
    other = {(row.collection, row.code) for row in every if row.collection in OF_OFFICE_365 and not is_same(row)}
    assert other == OTHERWISE.keys()
