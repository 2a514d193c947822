"""Warnings in an answer: changes that were made to the caller's email, by field, and none without a change."""

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.api.door import MINIMAL, Door, Json, changed

EMPTY = "The value is empty and was taken as absent."


def warned(door: Door, body: Json, path: str = "/emails") -> list[tuple[str, str]]:
    """The warnings of an accepted email, each as field and message."""
    response = door.post(body, path)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.get("warnings") != []
    return [(one["field"], one["message"]) for one in answer.get("warnings", [])]


def test_none_without_a_change(door: Door) -> None:
    """The member is left out."""
    for path in ("/emails", "/emails/validate"):
        assert "warnings" not in door.post(MINIMAL, path).json()
    assert door.post([MINIMAL], "/emails/batch").json()["data"][0].keys() == {"id"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"cc": ""}, ["cc"]),
        ({"bcc": [""]}, ["bcc[0]"]),
        ({"cc": ["bert@example.com", " "]}, ["cc[1]"]),
        ({"reply_to": ""}, ["reply_to"]),
        ({"replyTo": " \t"}, ["reply_to"]),
        ({"cc": "", "bcc": "", "reply_to": [""]}, ["cc", "bcc", "reply_to[0]"]),
    ],
)
def test_empty_form_values_are_absent(door: Door, change: Json, fields: list[str]) -> None:
    """A form sends an empty string for an address that nobody filled in."""
    for path in ("/emails", "/emails/validate"):
        assert warned(door, MINIMAL | change, path) == [(field, EMPTY) for field in fields]
    shown = door.get(f"/emails/{door.send(**change)}").json()
    kept = [value for name in ("cc", "bcc", "reply_to") for value in shown[name]]
    assert kept == [value for value in change.get("cc", []) if value.strip()]


def test_each_item_of_a_batch_has_its_own(door: Door) -> None:
    """Beside its id."""
    data = door.post([MINIMAL, changed(cc=""), changed(bcc=[""])], "/emails/batch").json()["data"]
    assert [[one["field"] for one in item.get("warnings", [])] for item in data] == [[], ["cc"], ["bcc[0]"]]


def test_a_repetition_has_the_same(door: Door) -> None:
    """The request is validated again, so the answer to the same Idempotency-Key is the same."""
    once = str(uuid4())
    first, second = (door.post(changed(cc=""), Idempotency_Key=once).json() for _ in range(2))
    assert first == second
    assert first["warnings"]


def test_they_are_bounded(door: Door) -> None:
    """20 of an email."""
    assert len(warned(door, changed(cc=[""] * 50))) == 20


@pytest.mark.parametrize("empty", ["", [""]])
def test_a_recipient_is_needed(door: Door, empty: Any) -> None:
    """An empty `to` is no recipient."""
    assert door.post(changed(to=empty)).status_code == 422
