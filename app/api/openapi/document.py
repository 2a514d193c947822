"""From what the routes say of themselves to one OpenAPI 3.1 document. Reads no store and no settings."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from starlette.routing import BaseRoute, Route

from app.api.openapi import errors
from app.api.openapi.operation import (
    JSON,
    Answer,
    Body,
    Link,
    Operation,
    Parameter,
    ParameterIn,
    RequiredPermission,
    Tag,
    of_endpoint,
)
from app.api.openapi.text import API_KEY, HEADERS, INFORMATION, TAGS

DIALECT = "https://spec.openapis.org/oas/3.1/dialect/base"
_COMPONENTS = "#/components/schemas/"
_PART = re.compile(r"\{([a-z_]+)\}")
_REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}}
_RATES = {
    f"RateLimit-{name}": {"$ref": f"#/components/headers/RateLimit{name}"} for name in ("Limit", "Remaining", "Reset")
}

_Key = tuple[str, JsonSchemaMode]
_Schemas = Mapping[_Key, Mapping[str, Any]]


class _Plain(GenerateJsonSchema):
    """Without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def enum_schema(self, schema: Any) -> dict[str, Any]:
        """Their docstrings are for who reads the code."""
        return {name: value for name, value in super().enum_schema(schema).items() if name != "description"}


def document(routes: Iterable[BaseRoute], root_path: str = "") -> dict[str, Any]:
    """The document of these routes below a path; those that say nothing of themselves are not in it."""
    told = [
        (route.path_format, method.lower(), operation)
        for route in routes
        if isinstance(route, Route) and (operation := of_endpoint(route.endpoint)) is not None
        for method in sorted(route.methods or ())
    ]
    schemas, definitions = _schemas([operation for _, _, operation in told])
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation in told:
        paths.setdefault(path, {})[method] = _operation(path, method, operation, schemas)
    used = _used(paths, definitions)
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": DIALECT,
        "info": INFORMATION,
        "servers": [{"url": root_path or "/", "description": "The Postern that serves this document."}],
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in _tags(told)],
        "paths": paths,
        "components": {
            "schemas": {name: definitions[name] for name in sorted(used)},
            "responses": _shared(paths),
            "headers": HEADERS,
            "securitySchemes": {"apiKey": API_KEY},
        },
    }


def _shared(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The errors that several operations have, taken out of them and put under names of their own."""
    operations = [operation for methods in paths.values() for operation in methods.values()]
    alike = Counter(json.dumps(answer) for one in operations for answer in one["responses"].values())
    names: dict[str, str] = {}
    for one in operations:
        for status, answer in one["responses"].items():
            content = json.dumps(answer)
            if status != "200" and alike[content] > 1:
                names.setdefault(content, _free(_name(status, answer), names.values()))
                one["responses"][status] = {"$ref": f"#/components/responses/{names[content]}"}
    return {name: json.loads(content) for content, name in sorted(names.items(), key=lambda it: it[1])}


def _name(status: str, answer: Mapping[str, Any]) -> str:
    words = answer.get("content", {}).get(JSON, {}).get("schema", {}).get("properties", {}).get("name", {})
    return "-".join([status, *words.get("enum", ())]) if answer.get("content") else f"{status}-head"


def _free(name: str, taken: Iterable[str]) -> str:
    others = sum(one == name or one.startswith(f"{name}.") for one in taken)
    return f"{name}.{others + 1}" if others else name


def _tags(told: Sequence[tuple[str, str, Operation]]) -> list[Tag]:
    used = {operation.tag for _, _, operation in told}
    return [tag for tag in Tag if tag in used]


def _schemas(operations: Iterable[Operation]) -> tuple[_Schemas, dict[str, Any]]:
    """The schema of each type under its name and direction, and what they refer to."""
    wanted: dict[_Key, Any] = {("Error", "serialization"): errors.Error}
    for one in operations:
        if one.error_format is not None:
            wanted[_key(one, "form")] = one.error_format.type
        if one.body is not None:
            wanted[_key(one, "body")] = one.body.type
        if one.answer.type is not None:
            wanted[_key(one, "answer")] = one.answer.type
        wanted |= {(f"{one.id} {it.name}", "validation"): it.type for it in one.parameters}
    inputs = [(key, key[1], TypeAdapter(type_)) for key, type_ in wanted.items()]
    schemas, rest = TypeAdapter.json_schemas(inputs, ref_template=_COMPONENTS + "{model}", schema_generator=_Plain)
    return {key: schema for (key, _), schema in schemas.items()}, rest.get("$defs", {})


def _used(part: Any, definitions: Mapping[str, Any]) -> set[str]:
    """The components that this part refers to, and those that they refer to."""
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


def _key(one: Operation, part: str) -> _Key:
    return f"{one.id} {part}", "validation" if part == "body" else "serialization"


def _operation(path: str, method: str, told: Operation, schemas: _Schemas) -> dict[str, Any]:
    head = method == "head"
    form = schemas[_key(told, "form") if told.error_format else ("Error", "serialization")]
    answers = {"200": _answer(told, schemas), **errors.responses(told, form)}
    if told.needs is not RequiredPermission.NONE:
        answers = {status: {**answer, "headers": answer["headers"] | _RATES} for status, answer in answers.items()}
    if head:
        answers = {status: _without_content(answer) for status, answer in answers.items()}
    parts = [_path_part(name) for name in _PART.findall(path)]
    parameters = [*parts, *(it for it in told.parameters if it.location is not ParameterIn.PATH)]
    described = {it.name: it for it in told.parameters if it.location is ParameterIn.PATH}
    return {
        "operationId": f"{told.id}Head" if head else told.id,
        "summary": f"{told.summary} (headers only)" if head else told.summary,
        **({"description": told.description} if told.description and not head else {}),
        "tags": [told.tag],
        "security": [{"apiKey": [permission]} for permission in told.needs.value],
        **_parameters(told, [described.get(it.name, it) for it in parameters], schemas),
        **({"requestBody": _body(told, told.body, schemas)} if told.body else {}),
        "responses": answers,
    }


def _path_part(name: str) -> Parameter:
    return Parameter(name, str, "", location=ParameterIn.PATH)


def _parameters(told: Operation, parameters: Sequence[Parameter], schemas: _Schemas) -> dict[str, Any]:
    shown = [_parameter(it, schemas[f"{told.id} {it.name}", "validation"]) for it in parameters]
    return {"parameters": shown} if shown else {}


def _parameter(it: Parameter, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": it.name,
        "in": it.location,
        "description": it.description,
        "required": it.location is ParameterIn.PATH,
        "schema": schema,
        **({} if it.example is None else {"example": it.example}),
    }


def _body(told: Operation, body: Body, schemas: _Schemas) -> dict[str, Any]:
    return {
        "required": body.required,
        "content": {
            JSON: {
                "schema": schemas[_key(told, "body")],
                "examples": {name: {"value": value} for name, value in body.examples.items()},
            }
        },
    }


def _answer(told: Operation, schemas: _Schemas) -> dict[str, Any]:
    answer = told.answer
    return {
        "description": answer.description,
        "headers": _REQUEST_ID | {name: _header(what) for name, what in answer.headers.items()},
        "content": {answer.media_type: _content(told, answer, schemas)},
        **({"links": {name: _link(link) for name, link in told.links.items()}} if told.links else {}),
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _content(told: Operation, answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in answer.examples.items()}
    if answer.type is None:
        return {"examples": examples} if examples else {}
    return {"schema": schemas[_key(told, "answer")], "examples": examples}


def _link(link: Link) -> dict[str, Any]:
    return {"operationId": link.operation, "parameters": dict(link.parameters)}


def _without_content(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in answer.items() if name not in ("content", "links")}
