"""POST /emails/{id}/erase and POST /emails/erase: remove what is personal of emails that are over. Never sends."""

import json
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api import body, document
from app.api.edge import Edge
from app.api.errors import Flaw, Invalid, Name, NoEmail, NotOver
from app.api.fields import kind
from app.api.keys import Keyring, actor
from app.api.openapi import Answer, Body, Needs, Tag, operation
from app.api.openapi_email import EmailAddress
from app.api.openapi_errors import invalid
from app.api.openapi_shared import ID_PART, OF_ONE, changed_email
from app.api.openapi_types import ID, Id, says
from app.api.wire import changed, path_id, success
from app.mail import erasure
from app.mail.address import AddressError
from app.mail.lifecycle import MessageState
from app.store.erase import Outcome

LISTED = 100  # ids in an answer

_MISSING = Flaw("address", "The address is missing; give the one to erase.", Name.MISSING_REQUIRED_FIELD)
_UNREADABLE = "The address has no @; write it like anna@example.com."


class Person(TypedDict):
    """Whose emails are to be erased. Other members are ignored."""

    address: Annotated[EmailAddress, says("One address, in any case; a display name is ignored.")]


class ErasureObject(TypedDict):
    """Result of an erasure by address. The address is not repeated."""

    object: Literal["erasure"]
    erased: Annotated[int, says("Number of emails that were erased now.")]
    waiting: Annotated[int, says("Number of emails with this address that are not over, and were left as they are.")]
    waiting_ids: Annotated[
        list[Id], says(f"Their ids, at most {LISTED}: cancel them, or wait, and repeat the request.")
    ]


class Erasures:
    """The two routes."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "eraseEmail",
        "Erase an email",
        tag=Tag.DECISIONS,
        needs=Needs.ADMINISTRATOR,
        parameters=(ID_PART,),
        answer=changed_email("It is erased, now or before."),
        refuses=(*OF_ONE, NotOver(MessageState.QUEUED), NotOver(MessageState.ACTIVE)),
        description="Its content, subject, names, addresses, tags, headers, SMTP dialogue and the payloads of its "
        "webhook events are removed. Its id, times, states and counts stay, and so does its Idempotency-Key. Only an "
        "email that is over can be erased. A body is not read.",
    )
    async def erase(self, request: Request) -> Response:
        """POST /emails/{id}/erase: remove what is personal of an email that is over."""
        key = await self._keyring.administrator(request)
        id_ = path_id(request)
        by, store = actor(request, key), self._edge.store
        outcome = (await store.erase([id_], self._edge.clock.now(), by))[id_]
        if outcome is Outcome.MISSING:
            raise NoEmail(id_)
        if isinstance(outcome, MessageState):
            raise NotOver(outcome)
        logs.erased(int(outcome is Outcome.ERASED), key=key.name, scrubbed=await store.scrub())
        return changed(id_)

    @operation(
        "eraseAddress",
        "Erase all emails of one person",
        tag=Tag.DECISIONS,
        needs=Needs.ADMINISTRATOR,
        body=Body(Person, {"a person": {"address": "anna@example.com"}}),
        answer=Answer(
            "What was found is erased.",
            ErasureObject,
            {"done": {"object": "erasure", "erased": 12, "waiting": 1, "waiting_ids": [ID]}},
        ),
        refuses=(Invalid([_MISSING]), invalid("address", _UNREADABLE)),
        description="Every email that has the address in `to`, `cc`, `bcc` or `reply_to` is erased as a whole, also "
        "where it has other recipients: its content may name the person. It may take minutes with a million emails, "
        "and may be repeated.",
    )
    async def erase_address(self, request: Request) -> Response:
        """POST /emails/erase: the same for every email with an address."""
        key = await self._keyring.administrator(request)
        address = _address(document.parse(await body.read(request, self._edge.limits)))
        store = self._edge.store
        found = await store.erase_address(address, self._edge.clock.now(), actor(request, key))
        logs.erased(found.count, key=key.name, scrubbed=await store.scrub())
        shown: ErasureObject = {
            "object": "erasure",
            "erased": found.count,
            "waiting": len(found.waiting),
            "waiting_ids": [str(id) for id in found.waiting[:LISTED]],
        }
        return success(json.dumps(shown).encode())


def _address(given: Any) -> str:
    """As it is compared. Raises Invalid."""
    if not isinstance(given, dict):
        raise Invalid([Flaw("", f"The request body must be one JSON object, not {kind(given)}.")])
    value = given.get("address")
    if value is None:
        raise Invalid([_MISSING])
    if not isinstance(value, str):
        raise Invalid([Flaw("address", f"It must be a string, not {kind(value)}.")])
    try:
        return erasure.normal(value)
    except AddressError as error:
        raise Invalid([Flaw("address", str(error))]) from None
