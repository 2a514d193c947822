"""Validation of an API key's members. The rules are in `mail/key_policy`.

Null is the same as an absent member. An empty value ("", [], 0, false) removes a limit. One error lists every invalid
member.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.api.auth.authenticator import DEFAULT_OVERLAP, MAX_OVERLAP
from app.api.problems.problem import ErrorName, FieldError, Invalid
from app.api.submission.fields import MAX_ITEMS, is_whole, json_type
from app.mail import key_policy
from app.mail.key_policy import Policy, PolicyError, validate
from app.store.keys.records import Permission

MISSING_NAME = "The name is missing. Say what the key is used for."
INVALID_OVERLAP = f"It must be a whole number of seconds from 0 to {MAX_OVERLAP}."
_NOT_IN_POLICY = frozenset({"name", "permission", "disabled"})


def changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given members, validated; unknown members are ignored. Raises Invalid."""
    found: dict[str, Any] = {}
    flaws = []
    for member, rule in _RULES.items():
        if given.get(member) is not None:
            try:
                found[member] = rule(given[member])
            except ValueError as error:
                flaws.append(FieldError(member, str(error)))
    if flaws:
        raise Invalid(flaws)
    return found


def new(given: Mapping[str, Any]) -> tuple[str, Permission, Policy, bool]:
    """Return the name, the permission, the policy and `disabled` of a new key. Raises Invalid."""
    found = changes(given)
    if "name" not in found:
        raise Invalid([FieldError("name", MISSING_NAME, ErrorName.MISSING_REQUIRED_FIELD)])
    try:
        policy = validate(Policy(**{it: value for it, value in found.items() if it not in _NOT_IN_POLICY}))
    except PolicyError as error:
        raise conflict(error) from None
    return found["name"], found.get("permission", Permission.SENDING_ACCESS), policy, found.get("disabled", False)


def conflict(error: PolicyError) -> Invalid:
    """Return the error for members that are valid alone but exclude each other."""
    return Invalid([FieldError("", str(error), reason="policy_conflict")])


def overlap(given: Mapping[str, Any]) -> int:
    """Return the seconds for which the current secret stays valid. Raises Invalid."""
    value = given.get("overlap")
    if value is None:
        return DEFAULT_OVERLAP
    if not is_whole(value) or not 0 <= value <= MAX_OVERLAP:
        raise Invalid([FieldError("overlap", INVALID_OVERLAP)])
    return int(value)


def _text(rule: Callable[[str], Any], value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"It must be a string, not {json_type(value)}.")
    return rule(value)


def _text_or_none(rule: Callable[[str], Any], value: Any) -> Any:
    return None if value == "" else _text(rule, value)


def _texts(rule: Callable[[list[str]], Any], value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("It must be a list of strings.")
    if len(value) > MAX_ITEMS:
        raise ValueError(f"It has {len(value)} entries. The maximum is {MAX_ITEMS}.")
    return rule(value)


def _permission(value: Any) -> Permission:
    if not isinstance(value, str) or value not in {*Permission}:
        raise ValueError(f"It must be one of {', '.join(Permission)}.")
    return Permission(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"It must be true or false, not {json_type(value)}.")
    return value


def _budget(rule: Callable[[int], int], value: Any) -> int | None:
    if not is_whole(value):
        raise ValueError(f"It must be a whole number, not {json_type(value)}; 0 removes the limit.")
    return rule(int(value)) if value else None


_RULES: Mapping[str, Callable[[Any], Any]] = {
    "name": partial(_text, key_policy.name),
    "permission": _permission,
    "senders": partial(_texts, key_policy.senders),
    "default_sender": partial(_text_or_none, key_policy.default_sender),
    "lanes": partial(_texts, key_policy.lanes),
    "recipients": partial(_texts, key_policy.recipients),
    "redirect_to": partial(_text_or_none, key_policy.redirect_to),
    "sink": _boolean,
    "messages_per_minute": partial(_budget, key_policy.item_limit),
    "messages_per_day": partial(_budget, key_policy.item_limit),
    "recipients_per_minute": partial(_budget, key_policy.item_limit),
    "recipients_per_day": partial(_budget, key_policy.item_limit),
    "bytes_per_minute": partial(_budget, key_policy.byte_limit),
    "bytes_per_day": partial(_budget, key_policy.byte_limit),
    "disabled": _boolean,
}
