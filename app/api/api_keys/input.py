"""Bodies of the routes under /keys, with the error sentences. The rules are in `mail/key_policy`.

An empty value ("", [], 0, false) removes a limit. One error lists every invalid member.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from app.api.api_keys import view
from app.api.auth.authenticator import DEFAULT_OVERLAP, MAX_OVERLAP
from app.api.http.params import JsonInput, Required
from app.api.openapi.types import EmailAddress, describe
from app.api.problems.problem import FieldError, Invalid
from app.api.problems.validation import MAX_ITEMS, is_whole, json_type, string, validation_error, wrong_type
from app.mail import key_policy
from app.mail.key_policy import MAX_BYTES, MAX_NAME, Policy, PolicyError
from app.mail.message.message import Lane
from app.store.keys.records import Permission

MISSING_NAME = "The name is missing. Say what the key is used for."
INVALID_OVERLAP = f"It must be a whole number of seconds from 0 to {MAX_OVERLAP}."
_REMOVES = "0 removes the limit."


def _text(rule: Callable[[str], Any], value: Any) -> Any:
    return rule(string(value))


def _text_or_none(rule: Callable[[str], Any], value: Any) -> Any:
    return None if value == "" else rule(string(value))


def _texts(rule: Callable[[list[str]], Any], value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise validation_error("It must be a list of strings.")
    if len(value) > MAX_ITEMS:
        raise validation_error(f"It has {len(value)} entries. The maximum is {MAX_ITEMS}.")
    return rule(value)


def _permission(value: Any) -> Permission:
    if not isinstance(value, str) or value not in {*Permission}:
        raise validation_error(f"It must be one of {', '.join(Permission)}.")
    return Permission(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise validation_error(wrong_type("true or false", value))
    return value


def _limit(rule: Callable[[int], int], value: Any) -> int | None:
    if not is_whole(value):
        raise validation_error(f"It must be a whole number, not {json_type(value)}; 0 removes the limit.")
    return rule(int(value)) if value else None


def _overlap(value: Any) -> int:
    if not is_whole(value) or not 0 <= value <= MAX_OVERLAP:
        raise validation_error(INVALID_OVERLAP)
    return int(value)


def _patterns(kind: str) -> Any:
    return list[Annotated[str, WithJsonSchema({"type": "string", "format": f"{kind}-pattern"})]] | None


_NAME = {"type": "string", "format": "key-name", "minLength": 1, "maxLength": MAX_NAME}
_AddressOrNone: TypeAlias = EmailAddress | Literal[""] | None
_Boolean = Annotated[bool, PlainValidator(_boolean, bool | None)]
_Items = Annotated[
    int | None,
    PlainValidator(partial(_limit, key_policy.item_limit), Annotated[int, Field(ge=0, le=key_policy.MAX_ITEMS)] | None),
]
_Bytes = Annotated[
    int | None,
    PlainValidator(partial(_limit, key_policy.byte_limit), Annotated[int, Field(ge=0, le=MAX_BYTES)] | None),
]


class KeyRevisionInput(JsonInput):
    """Changes of a key. A member that is absent or null is not changed; empty, 0 or false removes a limit."""

    name: Annotated[
        str, PlainValidator(partial(_text, key_policy.name), Annotated[str, WithJsonSchema(_NAME)] | None)
    ] = describe("What the key is used for.", default="")
    permission: Annotated[Permission, PlainValidator(_permission, Permission | None)] = Permission.SENDING_ACCESS
    senders: Annotated[tuple[str, ...], PlainValidator(partial(_texts, key_policy.senders), _patterns("sender"))] = (
        describe(view.SENDERS, default=())
    )
    default_sender: Annotated[
        str | None, PlainValidator(partial(_text_or_none, key_policy.default_sender), _AddressOrNone)
    ] = describe(f"{view.DEFAULT_SENDER} Empty: none.", default=None)
    lanes: Annotated[tuple[Lane, ...], PlainValidator(partial(_texts, key_policy.lanes), list[Lane] | None)] = describe(
        view.LANES, default=()
    )
    recipients: Annotated[
        tuple[str, ...], PlainValidator(partial(_texts, key_policy.recipients), _patterns("recipient"))
    ] = describe(view.RECIPIENTS, default=())
    redirect_to: Annotated[
        str | None, PlainValidator(partial(_text_or_none, key_policy.redirect_to), _AddressOrNone)
    ] = describe(f"{view.REDIRECT_TO} Empty: no redirection.", default=None)
    sink: _Boolean = describe(view.SINK, default=False)
    messages_per_minute: _Items = describe(f"{view.PER_MINUTE} {_REMOVES}", default=None)
    messages_per_day: _Items = describe(f"{view.PER_DAY} {_REMOVES}", default=None)
    recipients_per_minute: _Items = describe(f"{view.RECIPIENTS_PER_MINUTE} {_REMOVES}", default=None)
    recipients_per_day: _Items = describe(f"{view.RECIPIENTS_PER_DAY} {_REMOVES}", default=None)
    bytes_per_minute: _Bytes = describe(f"{view.BYTES_PER_MINUTE} {_REMOVES}", default=None)
    bytes_per_day: _Bytes = describe(f"{view.BYTES_PER_DAY} {_REMOVES}", default=None)
    ignore_suppressions: Annotated[
        tuple[Lane, ...], PlainValidator(partial(_texts, key_policy.lanes), list[Lane] | None)
    ] = describe(view.IGNORE_SUPPRESSIONS, default=())
    retry_unseen: _Boolean = describe(view.RETRY_UNSEEN, default=False)
    strict: _Boolean = describe(view.STRICT, default=False)
    disabled: _Boolean = describe(view.DISABLED, default=False)


class KeyInput(KeyRevisionInput):
    """A new key. Only one of `recipients`, `redirect_to` and `sink` may be given."""

    name: Annotated[
        str,
        PlainValidator(partial(_text, key_policy.name), Annotated[str, WithJsonSchema(_NAME)]),
        Required(MISSING_NAME),
    ] = describe("What the key is used for.", default="")

    def policy(self) -> Policy:
        """Return the policy. Raises Invalid if its members exclude each other."""
        members = self.given()
        try:
            return key_policy.validate(
                Policy(**{name: members[name] for name in members.keys() - {"name", "permission", "disabled"}})
            )
        except PolicyError as error:
            raise conflict(error) from None


class RotationInput(JsonInput):
    """Options of a rotation. The body may be empty."""

    overlap: Annotated[int, PlainValidator(_overlap, Annotated[int, Field(ge=0, le=MAX_OVERLAP)] | None)] = describe(
        "Seconds for which the old secret stays valid; 24 hours by default.", default=DEFAULT_OVERLAP
    )


def conflict(error: PolicyError) -> Invalid:
    """Return the error for members that are valid alone but exclude each other."""
    return Invalid([FieldError("", str(error), reason="policy_conflict")])
