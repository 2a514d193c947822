"""Rows of the trace: parsing, the email of a row, duplicates."""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.delivery.matching import assign, email_id, recipient_key
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import bare_message_id, parse_details, parse_rows

ROW = {
    "@odata.type": "#microsoft.graph.exchangeMessageTrace",
    "id": "5a1f64a2-9d5c-4f19-2c5e-08de1f2a3b4c",
    "senderAddress": "noreply@contoso.com",
    "recipientAddress": "Ada@Example.net",
    "messageId": "<Abc.1@contoso.com>",
    "receivedDateTime": "2026-11-30T10:00:05Z",
    "status": "delivered",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "event"]), inner, max_size=7),
    max_leaves=12,
)


class Candidate(NamedTuple):
    """Recipient of an email."""

    name: str
    network_id: UUID | None = None
    delivery: DeliveryState | None = None


def test_a_row() -> None:
    """A row is read with its Message-ID without brackets, its case unchanged, and its time in epoch seconds."""
    (row,) = parse_rows([ROW])
    assert row.message_id == "Abc.1@contoso.com"
    assert (row.recipient, row.status, row.received_at) == ("Ada@Example.net", "delivered", 1_796_032_805.0)
    assert str(row.network_id) == ROW["id"]


@given(st.lists(JSON, max_size=5))
def test_any_json(documents: list[Any]) -> None:
    """Whatever a page contains, its usable rows are returned."""
    assert len(parse_rows([*documents, ROW])) >= 1
    assert len(parse_details(documents)) <= len(documents)


@pytest.mark.parametrize("missing", ["id", "recipientAddress", "messageId", "receivedDateTime", "status"])
def test_an_incomplete_row_is_left_out(missing: str) -> None:
    """A row without a member, or with null in it, is left out."""
    rest = {name: value for name, value in ROW.items() if name != missing}
    assert parse_rows([rest, {**ROW, missing: None}]) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Ada@example.net", "ada@EXAMPLE.net"),
        ("ada@xn--mnchen-3ya.example", "ada@münchen.example"),
        ("Jörg@example.net", "jörg@example.net"),
        ("not an address", "NOT AN ADDRESS "),
    ],
)
def test_recipients_are_compared(ours: str, theirs: str) -> None:
    """Case does not count, and a domain may be in A-labels or U-labels."""
    assert recipient_key(ours) == recipient_key(theirs)


def test_message_ids_are_compared_exactly() -> None:
    """Brackets do not belong to a Message-ID; case does."""
    assert bare_message_id(" <A.b@c> ") == "A.b@c" != bare_message_id("<a.b@c>")
    assert bare_message_id("<a@b") == "<a@b"


def test_the_id_in_our_message_ids() -> None:
    """Only the form that Postern makes has an email's id."""
    id = uuid4()
    assert email_id(f"{id}@contoso.com") == id
    for other in (f"{id.hex}@contoso.com", f"{str(id).upper()}@contoso.com", "abc@contoso.com", "", f"{{{id}}}@a"):
        assert email_id(other) is None


def test_the_first_network_id_stays() -> None:
    """The network id of a recipient stays; another one is a duplicate, if no other email can have it."""
    first, second = uuid4(), uuid4()
    assert assign([], first) == (None, False)
    assert assign([Candidate("a")], first) == (Candidate("a"), False)
    assert assign([Candidate("a", first)], first) == (Candidate("a", first), False)
    assert assign([Candidate("a", first)], second) == (Candidate("a", first), True)
    assert assign([Candidate("a", first), Candidate("b")], second) == (Candidate("b"), False)


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(1, 4))
def test_network_ids_in_any_order(rows: list[int], emails: int) -> None:
    """As many network ids as there are emails are assigned, each to one email; every further one is a duplicate."""
    ids = [uuid4() for _ in range(5)]
    candidates = [Candidate(str(n)) for n in range(emails)]
    duplicates = set()
    for number in rows:
        found, duplicate = assign(candidates, ids[number])
        assert found is not None
        if duplicate:
            duplicates.add(ids[number])
        else:
            candidates[candidates.index(found)] = found._replace(network_id=ids[number])
    assigned = [one.network_id for one in candidates if one.network_id]
    assert len(assigned) == len(set(assigned)) == min(emails, len(set(rows)))
    assert duplicates.isdisjoint(assigned)
    assert len(duplicates) == max(0, len(set(rows)) - emails)


def test_a_report_without_a_network_id() -> None:
    """It is about the email that has bounced, or the first that still can; read again, it changes no second one."""
    bounced, open_, over = (
        Candidate(name, delivery=state)
        for name, state in (("b", DeliveryState.BOUNCED), ("o", None), ("d", DeliveryState.DELIVERED))
    )
    assert assign([], None) == (None, False)
    assert assign([over, open_, bounced], None) == (bounced, False)
    assert assign([over, open_], None) == (open_, False)
    assert assign([over], None) == (over, False)
    assert assign([Candidate("p", uuid4(), DeliveryState.PENDING)], None)[1] is False
