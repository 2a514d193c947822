"""HTML page of the specification, with all errors and code samples in several languages, whose texts are in samples/.

It needs no script and no other server.
"""

import json
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from pprint import pformat
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from app.api.openapi.operation import JSON
from app.api.openapi.types import BASE_URL, ID, OTHER_ID

_CODE = re.compile("`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_NOT_IN_ANCHOR = re.compile("[^a-z0-9]+")
_BLANK_LINE = re.compile(r"\n{2,}")

Json = Mapping[str, Any]

LANGUAGES = {"curl": "curl", "python": "Python", "node": "Node", "php": "PHP", "csharp": "C#", "go": "Go"}
_PARAMETER = re.compile(r"\{([a-z_]+)\}")

_HERE = Path(__file__).parent


class ErrorSample(NamedTuple):
    """Case of an error name: `when` is a sentence about the request, `message` one about a sample of it."""

    status: str
    reason: str
    when: str
    message: str


_WITHOUT_OPERATION = {
    "method_not_allowed": ErrorSample(
        "405", "", "The path has no such method.", "PUT is not possible here; use GET, HEAD, POST."
    ),
    "not_found": ErrorSample("404", "", "There is no such path.", "There is nothing at /email/send."),
}


def render(document: Json) -> tuple[bytes, str]:
    """Return the page and its Content-Security-Policy: the page's own style, and the script of this server."""
    root_path = document["servers"][0]["url"].rstrip("/")
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    schemas = _Schemas(document["components"]["schemas"])
    environment.filters |= {"prose": prose, "pretty": _pretty, "slug": _slug}
    environment.filters |= {"kind": schemas.kind, "members": schemas.members, "objects": schemas.objects}
    style = (_HERE / "docs.css").read_text("utf-8")
    page = environment.get_template("docs.html").render(
        document=document,
        groups=_groups(document),
        errors=_errors(document),
        style=Markup(style),  # noqa: S704 - our own file
        languages=LANGUAGES,
        code_samples=partial(code_samples, root_path),
        root_path=root_path,
    )
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'self'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return page.encode(), f"{policy}; frame-ancestors 'none'"


def prose(text: str) -> Markup:
    """Return CommonMark as HTML: paragraphs, `code` and **strong**, which is all that the document uses."""
    return Markup("\n").join(Markup("<p>{}</p>").format(_inline(part)) for part in _BLANK_LINE.split(text.strip()))


def _inline(text: str) -> Markup:
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_STRONG.sub(r"<strong>\1</strong>", marked))  # noqa: S704 - it was escaped first


class _Schemas:
    """Schemas of the components, and their forms on the page. A reference is shown as the schema that it refers to."""

    def __init__(self, components: Mapping[str, Json]) -> None:
        self._components = components

    def kind(self, schema: Json) -> Markup:
        """Return the type of a value in a few words."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return Markup(" or ").join(dict.fromkeys(self.kind(choice) for choice in schema["anyOf"]))
        if "const" in schema:
            return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
        if "enum" in schema:
            return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
        if schema.get("type") == "array" and "items" in schema:
            return Markup("list of {}").format(self.kind(schema["items"]))
        return _named(schema)

    def members(self, schema: Json) -> list[tuple[str, Json, bool]]:
        """Return the members of an object: name, schema, whether it is required; the unsupported ones last."""
        schema = self._resolved(schema)
        required = schema.get("required", ())
        found = [
            (name, self._described(member), name in required) for name, member in schema.get("properties", {}).items()
        ]
        return sorted(found, key=lambda member: (member[1].get("type") == "null", not member[2]))

    def objects(self, schema: Json) -> list[Json]:
        """Return the objects with known members that a value of this schema is or contains as an item."""
        schema = self._resolved(schema)
        inner = [*schema.get("anyOf", ()), *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]
        return [
            *([schema] if "properties" in schema else []),
            *(found for item in inner for found in self.objects(item)),
        ]

    def _resolved(self, schema: Json) -> Json:
        reference = schema.get("$ref", "").rpartition("/")[2]
        return self._components[reference] if reference else schema

    def _described(self, schema: Json) -> Json:
        """Return the schema with the description of its reference, if it has none itself."""
        text = schema.get("description") or self._resolved(schema).get("description", "")
        return {**schema, "description": text}


def _named(schema: Json) -> Markup:
    types = schema.get("type", "anything")
    name = types if isinstance(types, str) else " or ".join(types)
    format_ = f" ({schema['format']})" if "format" in schema else ""
    return escape(", ".join([name + format_, *_bounds(schema)]))


def _bounds(schema: Json) -> list[str]:
    found = []
    for least, most, suffix in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if most in schema:
            found.append(f"{schema.get(least, 0)} to {schema[most]}{suffix}")
    return found


def _groups(document: Json) -> list[tuple[Json, list[tuple[str, str, Json]]]]:
    """Return the operations by heading: method, path and operation. HEAD, which is GET without a body, is left out."""
    operations = [
        (method, path, {**operation, "responses": _whole(document, operation["responses"])})
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "head"
    ]
    return [
        (tag, [operation for operation in operations if tag["name"] in operation[2]["tags"]])
        for tag in document["tags"]
    ]


def _errors(document: Json) -> list[tuple[str, list[ErrorSample]]]:
    """Return by name the errors of all operations."""
    found: dict[str, dict[tuple[str, str], ErrorSample]] = {}
    for _, operations in _groups(document):
        for _, _, operation in operations:
            for status, answer in operation["responses"].items():
                for when, body in _error_bodies(answer):
                    sample = ErrorSample(status, body.get("reason", ""), when, body["message"])
                    found.setdefault(body["name"], {}).setdefault(sample[:2], sample)
    found |= {name: {missing[:2]: missing} for name, missing in _WITHOUT_OPERATION.items() if name not in found}
    return [(name, sorted(found[name].values())) for name in sorted(found)]


def _error_bodies(answer: Json) -> Iterator[tuple[str, Json]]:
    for content in answer.get("content", {}).values():
        for sample in (content.get("examples") or {}).values():
            if isinstance(sample["value"], dict) and {"statusCode", "name"} <= sample["value"].keys():
                yield sample["summary"], sample["value"]


def _whole(document: Json, responses: Json) -> Json:
    """Return the responses, with references to shared ones resolved."""
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in responses.items()
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _slug(text: str) -> str:
    return _NOT_IN_ANCHOR.sub("-", text.lower())


class CodeSample(NamedTuple):
    """Program that sends one request. `language` is a key of LANGUAGES."""

    language: str
    code: str


def code_samples(root_path: str, method: str, path: str, operation: Mapping[str, Any]) -> list[CodeSample]:
    """Return a sample in each language, with the first example of the body. `root_path` precedes all paths."""
    content = operation.get("requestBody", {}).get("content", {}).get(JSON)
    body = None if content is None else next(iter(content["examples"].values()))["value"]
    request = {
        "method": method.upper(),
        "default_method": "GET" if body is None else "POST",
        "url": BASE_URL + root_path + _with_examples(path, operation.get("parameters", ())),
        "key": bool(operation["security"]),
        "body": body,
    }
    templates = _templates()
    return [CodeSample(name, templates.get_template(f"{name}.jinja").render(request)) for name in LANGUAGES]


def _with_examples(path: str, parameters: Any) -> str:
    examples = {
        parameter["name"]: parameter["example"]
        for parameter in parameters
        if parameter["in"] == "path" and "example" in parameter
    }
    return _PARAMETER.sub(lambda found: examples.get(found[1], ID if found[1] == "id" else OTHER_ID), path)


@cache
def _templates() -> Environment:
    folder = FileSystemLoader(Path(__file__).with_name("samples"))
    environment = Environment(loader=folder, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - text, not HTML
    environment.filters |= {
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "python": lambda value: pformat(value, width=88, sort_dicts=False),
        "shell": shlex.quote,
    }
    return environment
