"""HTML page of the specification, without scripts, images, fonts or anything from another server."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

_HERE = Path(__file__).parent
_CODE = re.compile("`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_NOT_IN_ANCHOR = re.compile("[^a-z0-9]+")
_BLANK_LINE = re.compile(r"\n{2,}")
_MOST_WORDS = 12  # of an enumeration that are shown inside a line

Json = Mapping[str, Any]
_WITHOUT_OPERATION = {
    "method_not_allowed": (("405", ""), "PUT is not possible here; use GET, HEAD, POST."),
    "not_found": (("404", ""), "There is nothing at /email/send."),
}


def render(document: Json) -> tuple[bytes, str]:
    """Return the page and its Content-Security-Policy, which allows nothing but the page's own style."""
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"prose": prose, "kind": kind, "pretty": _pretty, "slug": _slug, "members": members}
    style = (_HERE / "docs.css").read_text("utf-8")
    page = environment.get_template("docs.html").render(
        document=document,
        groups=_groups(document),
        errors=_errors(document),
        style=Markup(style),  # noqa: S704 - our own file
        curl=_curl,
    )
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return page.encode(), f"{policy}; frame-ancestors 'none'"


def prose(text: str) -> Markup:
    """Return CommonMark as HTML: paragraphs, `code` and **strong**, which is all that the document uses."""
    return Markup("\n").join(Markup("<p>{}</p>").format(_inline(part)) for part in _BLANK_LINE.split(text.strip()))


def _inline(text: str) -> Markup:
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_STRONG.sub(r"<strong>\1</strong>", marked))  # noqa: S704 - it was escaped first


def kind(schema: Json) -> Markup:
    """Return the type of a value in a few words, with links to the schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#type-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(dict.fromkeys(kind(one) for one in schema["anyOf"]))
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    if "enum" in schema:
        return _words(schema["enum"])
    if schema.get("type") == "array" and "items" in schema:
        return Markup("list of {}").format(kind(schema["items"]))
    return _named(schema)


def _words(values: Iterable[str]) -> Markup:
    words = [Markup("<code>{}</code>").format(value) for value in values]
    shown = Markup(", ").join(words[:_MOST_WORDS])
    return shown + (f" and {len(words) - _MOST_WORDS} more" if len(words) > _MOST_WORDS else "")


def _named(schema: Json) -> Markup:
    types = schema.get("type", "anything")
    name = types if isinstance(types, str) else " or ".join(types)
    bounds = _bounds(schema)
    return escape(", ".join([name, *([schema["format"]] if "format" in schema else []), *bounds]))


def _bounds(schema: Json) -> list[str]:
    found = []
    for least, most, of in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if most in schema:
            found.append(f"{schema.get(least, 0)} to {schema[most]}{of}")
    return found


def members(schema: Json) -> list[tuple[str, Json, bool]]:
    """Return the members of an object: name, schema, whether it is required."""
    required = schema.get("required", ())
    return [(name, one, name in required) for name, one in schema.get("properties", {}).items()]


def _groups(document: Json) -> list[tuple[Json, list[tuple[str, str, Json]]]]:
    """Return the operations by heading: method, path and operation. HEAD, which is GET without a body, is left out."""
    operations = [
        (method, path, {**one, "responses": _whole(document, one["responses"])})
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        if method != "head"
    ]
    return [(tag, [one for one in operations if tag["name"] in one[2]["tags"]]) for tag in document["tags"]]


def _errors(document: Json) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return by name the errors of all operations: status, reason ("" if none) and a sample of the sentence."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for _, operations in _groups(document):
        for _, _, one in operations:
            for status, answer in one["responses"].items():
                for body in _error_bodies(answer):
                    samples = found.setdefault(body["name"], {})
                    samples.setdefault((status, body.get("reason", "")), body["message"])
    found.update({name: {sample: text} for name, (sample, text) in _WITHOUT_OPERATION.items() if name not in found})
    return [(name, [(*key, text) for key, text in sorted(found[name].items())]) for name in sorted(found)]


def _error_bodies(answer: Json) -> Iterator[Json]:
    for content in answer.get("content", {}).values():
        for sample in (content.get("examples") or {}).values():
            if isinstance(sample["value"], dict) and {"statusCode", "name"} <= sample["value"].keys():
                yield sample["value"]


def _whole(document: Json, responses: Json) -> Json:
    """Return the responses, with references to shared ones resolved."""
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in responses.items()
    }


def _curl(method: str, path: str, operation: Json) -> str:
    """Return a command line for the operation."""
    words = [f"curl http://127.0.0.1:8025{path}"]
    if method not in ("get", "post") or (method == "post" and "requestBody" not in operation):
        words[0] = words[0].replace("curl", f"curl -X {method.upper()}")
    if operation["security"]:
        words.append('  -H "Authorization: Bearer $POSTERN_API_KEY"')
    if "requestBody" in operation:
        example = next(iter(operation["requestBody"]["content"]["application/json"]["examples"].values()))
        words.append(f"  -d '{json.dumps(example['value'], ensure_ascii=False)}'")
    return " \\\n".join(words)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _slug(text: str) -> str:
    return _NOT_IN_ANCHOR.sub("-", text.lower())
