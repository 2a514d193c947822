"""GET /openapi.json and GET /docs: valid, complete, true, and equal to the file in the repository."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api.server.unknown_path import METHODS
from app.store.keys.records import Permission
from tests.contract.api.server import INSIDE, MINIMAL, ApiServer, Json
from tests.contract.api.specification import FILE, as_file, resolved, within
from tests.waiting import WAIT_TIMEOUT


@cache
def written() -> Json:
    """Return the specification in the repository."""
    document: Json = json.loads(FILE.read_text("utf-8"))
    return document


def operations() -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and operation."""
    for path, methods in written()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def responses() -> Iterator[tuple[str, str, Json]]:
    """Yield operation, status and response."""
    for _, _, operation in operations():
        for status, answer in operation["responses"].items():
            yield operation["operationId"], status, resolved(written(), answer)


def test_the_file_is_current(server: ApiServer) -> None:
    """To renew it: make openapi."""
    assert as_file(server.get("/openapi.json").json()) == FILE.read_text("utf-8")


def test_the_specification_is_valid() -> None:
    """By the schema of OpenAPI 3.1, and by the rules that no schema can express."""
    OpenAPIV31SpecValidator(written()).validate()


def test_every_route_is_specified(server: ApiServer) -> None:
    """And no other. The introduction names those that always answer 404."""
    documented = {(path, method.upper()) for method, path, _ in operations()}
    there = {(path, method) for path, methods in server.routes().items() if methods != {*METHODS} for method in methods}
    assert documented == there


def test_every_schema_is_valid() -> None:
    """By the meta-schema; every link leads to an existing operation."""
    for schema in written()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    ids = {operation["operationId"] for _, _, operation in operations()}
    for _, status, answer in responses():
        assert {link["operationId"] for link in answer.get("links", {}).values()} <= ids, status


def test_every_response_has_a_valid_example() -> None:
    """Of all its members."""
    for id, status, answer in responses():
        for media_type, content in answer.get("content", {}).items():
            if media_type == "application/json" and id != "getSpecification":
                assert content["examples"], (id, status)
                schema = Draft202012Validator(within(written(), content["schema"]))
                for example in content["examples"].values():
                    schema.validate(example["value"])


def test_every_request_has_a_valid_example() -> None:
    for _, _, operation in operations():
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            schema = Draft202012Validator(within(written(), content["schema"]))
            assert content["examples"]
            for example in content["examples"].values():
                schema.validate(example["value"])


@pytest.fixture(scope="module")
def parts(server: ApiServer) -> dict[str, str]:
    """Return an existing object for each kind of path parameter."""
    key = server.make_key(Permission.FULL_ACCESS)
    webhook = server.post({"endpoint": "https://example.com/", "events": ["email.canceled"]}, "/webhooks", key)
    assert webhook.status_code == 200, webhook.text
    api_key = server.post({"name": "shop"}, "/keys", key)
    return {"key": key, "/webhooks": webhook.json()["id"], "/keys": api_key.json()["id"]}


def there(server: ApiServer, path: str, parts: dict[str, str]) -> str:
    """Return the path with the scheduled email, the webhook or the key."""
    if "{id}" not in path:
        return path
    known = next((id for start, id in parts.items() if path.startswith(start)), None)
    return path.replace("{id}", known or server.send(scheduled_at="in 1 hour"))


def test_every_example_of_a_request_is_accepted(server: ApiServer, parts: dict[str, str]) -> None:
    """By a running Postern, which has no mailbox."""
    for method, path, operation in operations():
        if "requestBody" not in operation or path.startswith("/mailboxes"):
            continue
        for title, example in operation["requestBody"]["content"]["application/json"]["examples"].items():
            headers = {"authorization": f"Bearer {parts['key']}"}
            url = server.url + there(server, path, parts)
            answer = server.client.request(method.upper(), url, json=example["value"], headers=headers)
            assert answer.is_success, (path, title, answer.text)
            conforms(operation, answer)


def test_every_example_of_a_parameter_is_accepted(server: ApiServer, parts: dict[str, str]) -> None:
    """All of an operation together."""
    for method, path, operation in operations():
        given = [it for it in operation.get("parameters", ()) if "example" in it and it["in"] != "path"]
        if method == "get" and given:
            query = {it["name"]: it["example"] for it in given if it["in"] == "query"}
            headers = {it["name"]: it["example"] for it in given if it["in"] == "header"}
            headers["authorization"] = f"Bearer {parts['key']}"
            if "Prefer" in headers:
                headers["Prefer"] = "wait=0"
            url = (server.direct if path in INSIDE else server.url) + there(server, path, parts)
            answer = server.client.get(url, params=query, headers=headers)
            assert answer.status_code == 200, (path, answer.text)
            conforms(operation, answer)


def conforms(operation: Json, answer: httpx.Response) -> None:
    """Check that the document has this response and all of its members."""
    body = resolved(written(), operation["responses"][str(answer.status_code)])
    Draft202012Validator(within(written(), body["content"]["application/json"]["schema"])).validate(answer.json())


def test_specified_permissions_are_those_required(server: ApiServer) -> None:
    """And no others."""
    keys = {permission: server.make_key(permission) for permission in Permission}
    with httpx.Client(timeout=WAIT_TIMEOUT) as without_key:
        for method, path, operation in operations():
            concrete = re.sub(r"\{[a-z_]+\}", "0c6a1b52-0f3b-7c3f-8000-000000000000", path)
            bare = without_key.request(method, server.url + concrete)
            roles = {role["apiKey"][0] for role in operation["security"]}
            assert (bare.status_code == 401) == bool(roles), (method, path)
            for permission in permissions(roles):
                key = {"authorization": f"Bearer {keys[permission]}"}
                answer = server.client.request(method, concrete, headers=key)
                refused = answer.status_code == 401
                assert refused == (permission not in roles), (method, path, permission, answer.text)


def permissions(roles: set[str]) -> list[Permission]:
    """Return the permissions to try."""
    return [*Permission] if roles else []


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_specification_needs_no_key(server: ApiServer, path: str) -> None:
    """It has no data, and is built once."""
    with httpx.Client(base_url=server.url, timeout=WAIT_TIMEOUT) as without_key:
        answers = [without_key.get(path) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        assert without_key.head(path).status_code == 200


def test_the_errors_are_those_of_the_code() -> None:
    """E5 of the contract, for the document: 15 names, and no member that breaks a parser."""
    error: Any = written()["components"]["schemas"]["Error"]
    assert not {"type", "code", "error"} & error["properties"].keys()
    assert len(written()["components"]["schemas"]["ErrorName"]["enum"]) == 15
    assert MINIMAL.keys() <= written()["components"]["schemas"]["EmailInput"]["properties"].keys()
