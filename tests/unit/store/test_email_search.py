"""Search text of an email list: terms, what a word without a name is, and the errors."""

import re
from typing import Any
from uuid import UUID

import pytest

from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.message import Lane
from app.store.db import uuid7
from app.store.read.email_search import parse, split_event

NOW = 1_800_000_000.0
SHOP, OTHER = UUID(int=1), UUID(int=2)
KEYS = {SHOP: "shop", OTHER: "twice", UUID(int=3): "twice"}
ID = "01a2234d-1332-7000-98fa-a321901d797a"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("  ", {}),
        ("to:ada@example.net", {"to": "ada@example.net"}),
        ("ada@example.net", {"to": "ada@example.net"}),
        ("to:ada", {"to_prefix": "ada"}),
        ("ada", {"to_prefix": "ada"}),
        ("ada@exam", {"to_prefix": "ada@exam"}),
        ("ada@example.ne*", {"to_prefix": "ada@example.ne"}),
        ("a:b", {"to_prefix": "a:b"}),
        ("from:shop@contoso.com", {"from": "shop@contoso.com"}),
        ('subject:"your invoice"', {"subject": "your invoice"}),
        ('subject:"your invoice', {"subject": "your invoice"}),
        ("subject:a:b", {"subject": "a:b"}),
        ("tag:category:receipt", {"tag": ("category", "receipt")}),
        ("tag:category", {"tag": ("category", None)}),
        ("key:shop", {"key": SHOP}),
        (f"key:{OTHER}", {"key": OTHER}),
        ("lane:Bulk", {"lane": Lane.BULK}),
        ("event:failed", {"event": LastEvent.FAILED}),
        ("Failed", {"event": LastEvent.FAILED}),
        ("held", {"event": MessageState.HELD}),
        (ID, {"ids": (UUID(ID), UUID(ID))}),
        ("01A2234D", {"ids": (UUID("01a2234d" + "0" * 24), UUID("01a2234e" + "0" * 24))}),
        (f"{ID}@contoso.com", {"message_id": f"{ID}@contoso.com"}),
        ("<abc@framework.example>", {"message_id": "abc@framework.example"}),
        ("id:abc@framework.example", {"message_id": "abc@framework.example"}),
        ("id:01", {"ids": (UUID("01" + "0" * 30), UUID("02" + "0" * 30))}),
        ("since:2h", {"created_after": uuid7.first_at(NOW - 7200)}),
        ("until:2026-11-23T20:08:28Z", {"created_before": uuid7.first_at(1_795_464_508)}),
        ("TO:ada held since:1d", {"to_prefix": "ada", "event": "held", "created_after": uuid7.first_at(NOW - 86_400)}),
    ],
)
def test_terms(text: str, values: dict[str, Any]) -> None:
    """Each has the value of its filter."""
    assert parse(text, KEYS, NOW) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from:ada", "from:ada: The address has no @"),
        ("key:nobody", "There is no key nobody"),
        ("key:twice", "Several keys have this name"),
        ("lane:fast", "It must be one of urgent, normal, bulk."),
        ("event:lost", "event:lost: It must be one of held, "),
        ("since:yesterday", "It must be an age such as 90m, 2h or 7d"),
        ("*", "It must be an address, or the first characters of one."),
        ("a\0b", "It must be an address, or the first characters of one."),
        ("id:x", "It must be the id of an email, or the first characters of one."),
        ("<x>", "It must be the id of an email"),
        ("ada bob", "bob: Another term has this filter already."),
        ("tag:??", "It must be the name of a tag"),
        ('subject:""', "It must be 1 to 200 characters"),
        ("from:a lane:b", "from:a: The address has no @"),
    ],
)
def test_errors(text: str, words: str) -> None:
    """The sentence has the term and the rule."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(text, KEYS, NOW)


def test_two_errors() -> None:
    """Both are reported."""
    with pytest.raises(ValueError, match=r"from:a: .* lane:b: "):
        parse("from:a lane:b", KEYS, NOW)


@pytest.mark.parametrize(
    ("text", "rest", "event"),
    [
        ('"a  b', '"a  b', ""),
        ("failed", "", "failed"),
        ("to:ada  Event:Held  key:shop", "to:ada  key:shop", "held"),
        ("failed sent", "sent", "failed"),
        ("subject:failed", "subject:failed", ""),
    ],
)
def test_the_event_in_a_text(text: str, rest: str, event: str) -> None:
    """The rest stays as it was written."""
    assert split_event(text) == (rest, event)
