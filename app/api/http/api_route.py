"""Routes that are not submissions, and their requests: API key, attempt limit, names of query parameters and JSON body.

FastAPI then validates what the endpoint declares. Alone it would read the body before the API key is checked, and only
with the Content-Type of JSON.
"""

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.auth.authenticator import Authenticator
from app.api.auth.limits import UNRESERVED_SIZE
from app.api.context import RequestLimits
from app.api.http import body
from app.api.http.params import JsonInput
from app.api.openapi.operation import operation_of
from app.api.problems.validation import check_query_names, invalid, json_object, query_names
from app.store.keys.audit import Actor
from app.store.keys.records import Key

_JSON = Headers({"content-type": "application/json"})

Admit = Callable[[Key], None]


class ApiRequest(Request):
    """Authenticated request with the members of its JSON object."""

    key: Key
    members: dict[str, Any]

    @property
    def headers(self) -> Headers:
        """Content-Type of the body for FastAPI: JSON, whatever the request says."""
        return _JSON

    @property
    def actor(self) -> Actor:
        """Actor of the request for the audit."""
        return Actor(self.key.name, self.key.id, self.scope["request_id"])

    async def body(self) -> bytes:
        """Return bytes that are not empty, so that FastAPI reads `json`."""
        return b"{}"

    async def json(self) -> dict[str, Any]:
        """Return the members, which were read before."""
        return self.members


class _CheckedRoute(APIRoute):
    """FastAPI's route behind the checks: API key, `admit`, body."""

    def __init__(
        self, endpoint: Callable[..., Any], authenticator: Authenticator, limits: RequestLimits, admit: Admit
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._admit = admit
        self._operation = operation_of(endpoint)
        found = self._operation
        super().__init__(found.path, endpoint, methods=[*found.methods], status_code=found.status)
        self._query_names = [*query_names(self.dependant.query_params)]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the checks. Its validation errors become Invalid."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            # FastAPI closes uploaded files by a stack of its middleware, which the application does without.
            request.scope["fastapi_middleware_astack"] = request.scope["fastapi_inner_astack"]
            checked = await self._checked(request)
            try:
                return await handler(checked)
            except RequestValidationError as error:
                raise invalid(error.errors()) from None

        return handle

    async def _checked(self, request: Request) -> ApiRequest:
        checked = ApiRequest(request.scope, request.receive)
        checked.key = await self._authenticator.require(request, self._operation.needs.value)
        if self._operation.counts_as_attempt:
            self._admit(checked.key)
        if request.scope.get("query_string"):
            check_query_names(request, self._query_names)
        if self.body_field is not None:
            raw = await body.read(request, self._limits, UNRESERVED_SIZE)
            is_absent = not raw.strip() and _may_be_empty(self.body_field.field_info.annotation)
            checked.members = {} if is_absent else json_object(body.parse(raw))
        return checked


def _may_be_empty(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, JsonInput) and model.may_be_empty


class ApiRoute(Route):
    """Route that checks the API key, then reads the body, then validates. Its `operation` has the permission.

    `admit` may refuse what counts as an attempt before its body is read. FastAPI's part is made at the first request,
    because it would double the time of a start.
    """

    def __init__(
        self, endpoint: Callable[..., Any], authenticator: Authenticator, limits: RequestLimits, admit: Admit
    ) -> None:
        described = operation_of(endpoint)
        super().__init__(described.path, endpoint, methods=described.methods)
        self._checks = (authenticator, limits, admit)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["route"] = self  # as FastAPI's own routes do: spans are named by it
            await self._route.app(scope, receive, send)

        self.app = app

    @cached_property
    def _route(self) -> _CheckedRoute:
        return _CheckedRoute(self.endpoint, *self._checks)
