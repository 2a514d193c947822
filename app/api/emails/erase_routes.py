"""POST /emails/{id}/erase and POST /emails/erase: remove the personal data of ended emails."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import PlainValidator
from typing_extensions import TypedDict

from app import logs
from app.api.context import ApiContext
from app.api.emails.view import EmailIdResponse, changed
from app.api.http.api_route import ApiRequest
from app.api.http.params import EmailId, JsonInput, Required
from app.api.openapi.email_samples import CHANGED, ID_ERRORS
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import ID, EmailAddress, Id, describe
from app.api.problems.problem import ErrorName, NoEmail, NotEnded
from app.api.problems.validation import string
from app.mail.lifecycle import MessageState
from app.mail.message.address import normalize_address
from app.store.erase import EraseOutcome

LISTED = 100  # ids in an answer

_MISSING = "The address is missing; give the one to erase."
_UNREADABLE = "The address has no @; write it like anna@example.com."


def _address(value: Any) -> str:
    """Return the address in the form that is compared."""
    return normalize_address(string(value))


class Person(JsonInput):
    """Address of the person. Other members are ignored."""

    may_be_empty = False

    address: Annotated[str, PlainValidator(_address, EmailAddress), Required(_MISSING)] = describe(
        "One address, in any case; a display name is ignored.", default=""
    )


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


_operation = partial(operation, tag=OperationTag.DECISIONS, needs=RequiredPermission.FULL_ACCESS)


class EraseRoutes:
    """Routes that erase emails."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /emails/{id}/erase",
        "It is erased, now or before.",
        CHANGED,
        errors=(*ID_ERRORS, NotEnded(MessageState.QUEUED), NotEnded(MessageState.ACTIVE)),
    )
    async def erase_email(self, request: ApiRequest, id: EmailId) -> EmailIdResponse:
        """Erase an email.

        Its content, subject, names, addresses, tags, headers, SMTP dialogue and the payloads of its webhook events are
        removed. Its id, times, states and counts stay, and so does its Idempotency-Key. Only an email that is over can
        be erased. A body is not read.
        """
        store = self._context.store
        outcome = (await store.erase([id], self._context.clock.now(), request.actor))[id]
        if outcome is EraseOutcome.MISSING:
            raise NoEmail(id)
        if isinstance(outcome, MessageState):
            raise NotEnded(outcome)
        logs.erased(int(outcome is EraseOutcome.ERASED), key=request.key.name, scrubbed=await store.scrub())
        return changed(id)

    @_operation(
        "POST /emails/erase",
        "What was found is erased.",
        {"done": {"object": "erasure", "erased": 12, "waiting": 1, "waiting_ids": [ID]}},
        requests={"a person": {"address": "anna@example.com"}},
        errors=(invalid("address", _MISSING, ErrorName.MISSING_REQUIRED_FIELD), invalid("address", _UNREADABLE)),
    )
    async def erase_address(self, request: ApiRequest, body: Person) -> ErasureObject:
        """Erase all emails of one person.

        Every email that has the address in `to`, `cc`, `bcc` or `reply_to` is erased as a whole, also where it has
        other recipients: its content may name the person. It may take minutes with a million emails, and may be
        repeated.
        """
        store = self._context.store
        found = await store.erase_address(body.address, self._context.clock.now(), request.actor)
        logs.erased(found.count, key=request.key.name, scrubbed=await store.scrub())
        return {
            "object": "erasure",
            "erased": found.count,
            "waiting": len(found.waiting),
            "waiting_ids": [str(id) for id in found.waiting[:LISTED]],
        }
