"""Search text of an email list, for people: `to:ada@example.net failed subject:"your invoice" since:2h`.

A term is `name:value`, or one word without a name: an event, an id, a Message-ID or the beginning of a recipient's
address. All terms must match.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from app.mail.delivery.matching import email_id
from app.store.read import email_filters
from app.store.read.last_event import EVENTS

MAX_LENGTH = 1_000  # characters

_TERM = re.compile(r'(?:(?P<name>[a-z]+):)?(?:"(?P<quoted>[^"]*)"?|(?P<plain>\S+))', re.IGNORECASE | re.ASCII)
_ID = re.compile("[0-9a-f-]{8,36}", re.IGNORECASE | re.ASCII)
_MESSAGE_ID = re.compile(r"<?([^<>\s@]+@[^<>\s@]+)>?")
_ADDRESS = re.compile(r"[^@\s*]+@[^@\s*]+\.[^@\s*]+")  # may be complete


def parse(text: str, keys: Mapping[UUID, str], now: float) -> dict[str, Any]:
    """Return the values of the terms by the names of `email_filters.selection`.

    `keys`: names of the API keys, by id. `now`: epoch seconds, for ages. Raises ValueError with a sentence for each
    invalid term.
    """
    values: dict[str, Any] = {}
    errors = []
    for name, word in _terms(text[:MAX_LENGTH]):
        try:
            found = _value(name, word, keys, now)
            if found.keys() & values.keys():
                raise ValueError("Another term has this filter already.")
            values |= found
        except ValueError as error:
            errors.append(f"{f'{name}:' if name else ''}{word}: {error}")
    if errors:
        raise ValueError(" ".join(errors))
    return values


def split_event(text: str) -> tuple[str, str]:
    """Return the text without its event, and the event; "" if there is none."""
    for match in _TERM.finditer(text):
        name, word = _term(match)
        if name == "event" or (not name and word.lower() in EVENTS):
            return f"{text[: match.start()]}{text[match.end() :].lstrip()}".strip(), word.lower()
    return text, ""


def _terms(text: str) -> list[tuple[str, str]]:
    return [_term(match) for match in _TERM.finditer(text)]


def _term(match: re.Match[str]) -> tuple[str, str]:
    """Return name and word of a term. A text with a colon but without a known name before it is a word."""
    name = (match["name"] or "").lower()
    if name not in _NAMES:
        return "", match[0].strip('"')
    return name, match["plain"] if match["quoted"] is None else match["quoted"]


def _value(name: str, word: str, keys: Mapping[UUID, str], now: float) -> dict[str, Any]:
    match name:
        case "":
            return _unnamed(word)
        case "id":
            return _id(word)
        case "to":
            return _recipient(word)
        case "key":
            return {"key": email_filters.key_id(word, keys)}
        case _:
            field, rule = rules(now)[name]
            return {field: rule(word)}


def rules(now: float) -> Mapping[str, tuple[str, email_filters.Rule]]:
    """Return the names that have one value: name in `email_filters.selection`, and its rule. `now`: for ages."""
    first_id = partial(email_filters.first_id, now=now)
    return {
        "from": ("from", email_filters.address),
        "subject": ("subject", email_filters.subject),
        "tag": ("tag", email_filters.tag),
        "lane": ("lane", email_filters.lane),
        "event": ("event", email_filters.event),
        "since": ("created_after", first_id),
        "until": ("created_before", first_id),
    }


_NAMES = {"id", "to", "key", *rules(0.0)}


def _unnamed(word: str) -> dict[str, Any]:
    if word.lower() in EVENTS:
        return {"event": email_filters.event(word)}
    if _ID.fullmatch(word) or word.startswith("<") or email_id(word):
        return _id(word)
    return _recipient(word)


def _id(word: str) -> dict[str, Any]:
    if match := _MESSAGE_ID.fullmatch(word):
        return {"message_id": match[1]}
    return {"ids": email_filters.id_range(word)}


def _recipient(word: str) -> dict[str, Any]:
    """Return the recipient if the address may be complete; else, or with a `*` at its end, the beginning of one."""
    if _ADDRESS.fullmatch(word):
        return {"to": email_filters.address(word)}
    prefix = word.rstrip("*")
    if not prefix or "*" in prefix or "\0" in prefix:
        raise ValueError("It must be an address, or the first characters of one.")
    return {"to_prefix": prefix}
