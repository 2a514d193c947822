"""POST /emails/{id}/erase and POST /emails/erase: remove the personal data of ended emails."""

import json
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api.auth.authenticator import Authenticator, actor
from app.api.context import ApiContext
from app.api.http import body, strict_json
from app.api.http.headers import email_id_response, json_ok, path_id
from app.api.openapi.email_types import EmailAddress
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, Body, RequiredPermission, Tag, operation
from app.api.openapi.shared import ID_ERRORS, ID_PARAMETER, email_id_answer
from app.api.openapi.types import ID, Id, describe
from app.api.problems.problem import ErrorName, FieldError, Invalid, NoEmail, NotEnded
from app.api.submission.fields import json_type
from app.mail import erasure
from app.mail.lifecycle import MessageState
from app.mail.message.address import AddressError
from app.store.erase import Outcome

LISTED = 100  # ids in an answer

_MISSING = FieldError("address", "The address is missing; give the one to erase.", ErrorName.MISSING_REQUIRED_FIELD)
_UNREADABLE = "The address has no @; write it like anna@example.com."


class Person(TypedDict):
    """Address of the person. Other members are ignored."""

    address: Annotated[EmailAddress, describe("One address, in any case; a display name is ignored.")]


class ErasureObject(TypedDict):
    """Result of an erasure by address. The address is not repeated."""

    object: Literal["erasure"]
    erased: Annotated[int, describe("Number of emails that were erased now.")]
    waiting: Annotated[
        int, describe("Number of emails with this address that are not over, and were left as they are.")
    ]
    waiting_ids: Annotated[
        list[Id], describe(f"Their ids, at most {LISTED}: cancel them, or wait, and repeat the request.")
    ]


class EraseRoutes:
    """Routes that erase emails."""

    def __init__(self, edge: ApiContext, keyring: Authenticator) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "eraseEmail",
        "Erase an email",
        tag=Tag.DECISIONS,
        needs=RequiredPermission.FULL_ACCESS,
        parameters=(ID_PARAMETER,),
        answer=email_id_answer("It is erased, now or before."),
        errors=(*ID_ERRORS, NotEnded(MessageState.QUEUED), NotEnded(MessageState.ACTIVE)),
        description="Its content, subject, names, addresses, tags, headers, SMTP dialogue and the payloads of its "
        "webhook events are removed. Its id, times, states and counts stay, and so does its Idempotency-Key. Only an "
        "email that is over can be erased. A body is not read.",
    )
    async def erase(self, request: Request) -> Response:
        """POST /emails/{id}/erase: remove the personal data of an ended email."""
        key = await self._keyring.full_access(request)
        id_ = path_id(request)
        by, store = actor(request, key), self._edge.store
        outcome = (await store.erase([id_], self._edge.clock.now(), by))[id_]
        if outcome is Outcome.MISSING:
            raise NoEmail(id_)
        if isinstance(outcome, MessageState):
            raise NotEnded(outcome)
        logs.erased(int(outcome is Outcome.ERASED), key=key.name, scrubbed=await store.scrub())
        return email_id_response(id_)

    @operation(
        "eraseAddress",
        "Erase all emails of one person",
        tag=Tag.DECISIONS,
        needs=RequiredPermission.FULL_ACCESS,
        body=Body(Person, {"a person": {"address": "anna@example.com"}}),
        answer=Answer(
            "What was found is erased.",
            ErasureObject,
            {"done": {"object": "erasure", "erased": 12, "waiting": 1, "waiting_ids": [ID]}},
        ),
        errors=(Invalid([_MISSING]), invalid("address", _UNREADABLE)),
        description="Every email that has the address in `to`, `cc`, `bcc` or `reply_to` is erased as a whole, also "
        "where it has other recipients: its content may name the person. It may take minutes with a million emails, "
        "and may be repeated.",
    )
    async def erase_address(self, request: Request) -> Response:
        """POST /emails/erase: erase every email with an address."""
        key = await self._keyring.full_access(request)
        address = _address(strict_json.parse(await body.read(request, self._edge.limits)))
        store = self._edge.store
        found = await store.erase_address(address, self._edge.clock.now(), actor(request, key))
        logs.erased(found.count, key=key.name, scrubbed=await store.scrub())
        shown: ErasureObject = {
            "object": "erasure",
            "erased": found.count,
            "waiting": len(found.waiting),
            "waiting_ids": [str(id) for id in found.waiting[:LISTED]],
        }
        return json_ok(json.dumps(shown).encode())


def _address(given: Any) -> str:
    """Return the address in the form that is compared. Raises Invalid."""
    if not isinstance(given, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object, not {json_type(given)}.")])
    value = given.get("address")
    if value is None:
        raise Invalid([_MISSING])
    if not isinstance(value, str):
        raise Invalid([FieldError("address", f"It must be a string, not {json_type(value)}.")])
    try:
        return erasure.normalize_address(value)
    except AddressError as error:
        raise Invalid([FieldError("address", str(error))]) from None
