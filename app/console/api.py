"""Routes of the API that the pages call, and requests and inputs for them: each rule has one implementation."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from app.api.api_keys.routes import KeyRoutes
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import JsonInput
from app.api.problems.validation import invalid
from app.api.submission.pipeline import SubmissionPipeline
from app.api.suppressions.routes import SuppressionRoutes
from app.api.webhooks.routes import WebhookRoutes
from app.store.keys.audit import Actor

M = TypeVar("M", bound=JsonInput)


class ConsoleApi:
    """Endpoints of the API without their HTTP part. They raise Problem."""

    def __init__(self, context: ApiContext, submissions: SubmissionPipeline) -> None:
        self.keys = KeyRoutes(context)
        self.webhooks = WebhookRoutes(context)
        self.suppressions = SuppressionRoutes(context)
        self.submissions = submissions
        self.never_sent = context.never_sent
        self.default_sender = context.default_sender


class OperatorRequest(ApiRequest):
    """Request of a person who has logged in, as the endpoints take it. It has no API key."""

    def __init__(self, request: Request, actor: Actor) -> None:
        super().__init__(request.scope)
        self._actor = actor

    @property
    def actor(self) -> Actor:
        """The person."""
        return self._actor


def read_input(model: type[M], members: Mapping[str, Any]) -> M:
    """Return the body of an endpoint, validated as in a request. Raises Invalid."""
    try:
        return model.model_validate(dict(members))
    except ValidationError as error:
        raise invalid([dict(details) for details in error.errors()]) from None
