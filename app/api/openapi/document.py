"""OpenAPI 3.1 document: FastAPI's description of the routes, completed with texts, errors, headers and links."""

import functools
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeGuard

from fastapi import Body, Query
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field
from starlette.routing import BaseRoute, Route

from app import __version__
from app.api.openapi import errors
from app.api.openapi.errors import HEADERS
from app.api.openapi.operation import (
    JSON,
    HeaderField,
    Operation,
    OperationTag,
    RequiredPermission,
    is_described,
    operation_of,
)

Json = dict[str, Any]

_DIALECT = "https://spec.openapis.org/oas/3.1/dialect/base"
_COMPONENTS = "#/components/schemas/"
_RATES = {f"RateLimit-{name}": errors.header_ref(f"RateLimit{name}") for name in ("Limit", "Remaining", "Reset")}

_INTRODUCTION = """\
Postern takes emails as JSON, commits them to disk, answers, and relays them over authenticated STARTTLS connections
to Office 365. The shape is that of Resend's API for emails, so its official SDKs work when their base URL is Postern's
address (no affiliation). Further members, such as `relay`, are Postern's own.

**Success is exactly 200** and a JSON object, or 201 for additions to the suppression list, as in Resend's API.
The email is on the disk by then; it is relayed afterwards.

**Errors** have the form of `Error` and one of 15 names. `message` says what is wrong and how to
fix it, `reason` is a more specific cause for programs, `details` lists every error of a request. A path
that does not exist is answered with 404 `not_found`, a method that a path does not have with 405 `method_not_allowed`
and the header `Allow`. What Resend has beyond emails (domains, templates, audiences and the like) is answered with
404 and the reason `unsupported_resource`.

**Requests** are read as JSON whatever their Content-Type says. Unknown members are ignored, and null means the same
as leaving a member out; an unknown member of an email has a warning, or is an error with a key that is `strict`.
A change that was made to an accepted email is reported in the answer's `warnings`, by field.
Repeated slashes and a slash at the end of a path change nothing. HEAD is answered wherever
GET is, with the headers alone.

**Every response** has `X-Request-Id`: the value of the request, or a new one. Responses to a valid API key
also report the remaining messages of the key in
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, plain integers.
"""

INFORMATION: Mapping[str, Any] = {
    "title": "Postern",
    "version": __version__,
    "summary": "HTTP relay between your applications and Office 365.",
    "description": _INTRODUCTION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS: Mapping[OperationTag, str] = {
    OperationTag.EMAILS: "Send emails and read their status.",
    OperationTag.ATTACHMENTS: "The files of an email as it is relayed.",
    OperationTag.DECISIONS: "Decisions of an operator about an email.",
    OperationTag.MAILBOXES: "The Office 365 mailboxes that relay.",
    OperationTag.WEBHOOKS: "Notifications about emails, signed as in Standard Webhooks.",
    OperationTag.SUPPRESSIONS: "Addresses to which no email is sent.",
    OperationTag.KEYS: "API keys, their policies and the audit.",
    OperationTag.POSTMARK: "For applications that use Postmark's API.",
    OperationTag.OPERATION: "Health checks and metrics. Gateways must not forward them.",
}

API_KEY: Mapping[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. The roles of an operation are permissions; the key needs one of them.",
}


def document(routes: Iterable[BaseRoute], root_path: str = "") -> Json:
    """Return the document of these routes below a path; those without an `operation` are not in it."""
    described = [(route, operation_of(route.endpoint)) for route in routes if _is_described(route)]
    schemas = [_schema_route(route, operation) for route, operation in described]
    found = get_openapi(title="Postern", version=__version__, routes=schemas)
    components = {
        name: {**_plain(schema), **({"title": name} if "title" in schema else {})}
        for name, schema in found["components"]["schemas"].items()
    }
    paths: dict[str, Json] = {}
    for route, operation in described:
        for method in sorted(route.methods or ()):
            schema = found["paths"][route.path_format]["get" if method == "HEAD" else method.lower()]
            completed = _completed(operation, _plain(schema), components)
            shown = _head(completed) if method == "HEAD" else completed
            paths.setdefault(route.path_format, {})[method.lower()] = shown
    tags = {operation.tag for _, operation in described}
    responses = _shared_responses(paths)
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": _DIALECT,
        "info": INFORMATION,
        "servers": [{"url": root_path or "/", "description": "The Postern that serves this document."}],
        "tags": [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in tags],
        "paths": paths,
        "components": {
            "schemas": {name: components[name] for name in sorted(_used(paths, components) | {"Error"})},
            "responses": responses,
            "headers": HEADERS,
            "securitySchemes": {"apiKey": API_KEY},
        },
    }


def _is_described(route: BaseRoute) -> TypeGuard[Route]:
    return isinstance(route, Route) and is_described(route.endpoint)


def _schema_route(route: Route, operation: Operation) -> APIRoute:
    """Return a route with the types that FastAPI describes."""
    methods, error = [*(route.methods or set()) - {"HEAD"}], operation.error_format or errors.USUAL
    endpoint, model = _declaring(route.endpoint, operation), operation.answer_type
    found = APIRoute(route.path, endpoint, methods=methods, operation_id=operation.id, response_model=model)
    found.response_fields = {400: create_model_field("error", error.type, mode="serialization")}
    return found


def _declaring(endpoint: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    """Return an endpoint that declares the types that the endpoint of this operation reads itself."""
    types = {"body": (operation.body, Body()), "query": (operation.query, Query())}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[type_, source])
        for name, (type_, source) in types.items()
        if type_ is not None
    ]
    if not parameters:
        return endpoint
    declaring = functools.partial(endpoint)
    vars(declaring)["__signature__"] = inspect.Signature(parameters)
    return declaring


def _plain(part: Any) -> Any:
    """Return a schema without the titles of members, which repeat their names, and without `null` as a default."""
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    left_out = {"title"} if isinstance(part.get("title"), str) else set()
    left_out |= {"default"} if part.get("default", ...) is None else set()
    return {name: _plain(inner) for name, inner in part.items() if name not in left_out}


def _completed(operation: Operation, schema: Json, components: Json) -> Json:
    """Return the operation with what FastAPI does not know."""
    responses = {
        str(operation.status): _answer(operation, schema["responses"]["200"]),
        **errors.responses(operation, "requestBody" in schema),
    }
    if operation.needs is not RequiredPermission.NONE:
        for response in responses.values():
            response["headers"] |= _RATES
    parameters = [*map(_parameter, schema.get("parameters", ())), *map(_header_field, operation.headers)]
    return {
        "operationId": operation.id,
        "summary": operation.summary,
        **({"description": operation.description} if operation.description else {}),
        "tags": [operation.tag],
        "security": [{"apiKey": [permission]} for permission in operation.needs.value],
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(operation, schema["requestBody"], components)} if "requestBody" in schema else {}),
        "responses": responses,
    }


def _parameter(schema: Json) -> Json:
    """Return a parameter with the example of its schema."""
    inner = schema["schema"]
    if description := inner.pop("description", None):
        schema.setdefault("description", description)
    examples = inner.pop("examples", None)
    return schema | ({"example": examples[0]} if examples else {})


def _header_field(field: HeaderField) -> Json:
    shown = {"name": field.name, "in": "header", "description": field.description, "required": False}
    return shown | {"schema": dict(field.schema)} | ({} if field.example is None else {"example": field.example})


def _body(operation: Operation, body: Json, components: Json) -> Json:
    """Return the body with its examples. An object without required members may be left out."""
    schema = body["content"][JSON]["schema"]
    model = components[schema["$ref"].removeprefix(_COMPONENTS)] if "$ref" in schema else schema
    required = bool(model.get("required")) or model.get("type") == "array"
    return {"required": required, "content": {JSON: {"schema": schema, "examples": _examples(operation.requests)}}}


def _answer(operation: Operation, schema: Json) -> Json:
    content = {"schema": schema["content"][JSON]["schema"]} if operation.answer_type is not None else {}
    if operation.examples:
        content["examples"] = _examples(operation.examples)
    own = {name: {"description": what, "schema": {"type": "string"}} for name, what in operation.answer_headers.items()}
    return {
        "description": operation.answer,
        "headers": {"X-Request-Id": errors.header_ref("XRequestId"), **own},
        "content": {operation.media_type: content},
        **({"links": dict(operation.links)} if operation.links else {}),
    }


def _examples(examples: Mapping[str, Any]) -> Json:
    return {name: {"value": value} for name, value in examples.items()}


def _head(get: Json) -> Json:
    """Return the operation of HEAD: that of GET without contents and links."""
    responses = {
        status: {name: part for name, part in response.items() if name not in ("content", "links")}
        for status, response in get["responses"].items()
    }
    head = get | {"operationId": f"{get['operationId']}Head", "summary": f"{get['summary']} (headers only)"}
    head.pop("description", None)
    return head | {"responses": responses}


def _shared_responses(paths: Mapping[str, Json]) -> Json:
    """Move the errors that several operations have to the components, and return them by name."""
    operations = [operation for methods in paths.values() for operation in methods.values()]
    alike = Counter(json.dumps(answer) for operation in operations for answer in operation["responses"].values())
    names: dict[str, str] = {}
    for operation in operations:
        for status, answer in operation["responses"].items():
            content = json.dumps(answer)
            if not status.startswith("2") and alike[content] > 1:
                names.setdefault(content, _free(_name(status, answer), names.values()))
                operation["responses"][status] = {"$ref": f"#/components/responses/{names[content]}"}
    return {name: json.loads(content) for content, name in sorted(names.items(), key=lambda pair: pair[1])}


def _name(status: str, answer: Json) -> str:
    words = answer.get("content", {}).get(JSON, {}).get("schema", {}).get("properties", {}).get("name", {})
    return "-".join([status, *words.get("enum", ())]) if answer.get("content") else f"{status}-head"


def _free(name: str, taken: Iterable[str]) -> str:
    others = sum(other == name or other.startswith(f"{name}.") for other in taken)
    return f"{name}.{others + 1}" if others else name


def _used(part: Any, definitions: Json) -> set[str]:
    """Return the names of the components to which this part refers, directly or through others."""
    found: set[str] = set()
    parts = [part]
    while parts:
        match parts.pop():
            case dict() as inner:
                parts += inner.values()
                name = str(inner.get("$ref", "")).removeprefix(_COMPONENTS)
                if name in definitions and name not in found:
                    found.add(name)
                    parts.append(definitions[name])
            case list() as inner:
                parts += inner
    return found
