"""Code samples of an operation, in the languages of the documentation page. The texts are in samples/."""

import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from pprint import pformat
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader

from app.api.openapi.operation import JSON
from app.api.openapi.types import BASE_URL, ID, OTHER_ID

LANGUAGES = {"curl": "curl", "python": "Python", "node": "Node", "php": "PHP", "csharp": "C#", "go": "Go"}
_PARAMETER = re.compile(r"\{([a-z_]+)\}")


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
