"""Simulated Entra ID: checks of token requests, lifetime of tokens."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.simulator import Simulator
from app.simulator.entra import IDENTITY_HEADER, SCOPE, TENANT, App, Entra

CLIENT = "0d3c5b1a-2e47-4f7c-9a51-6c8e7f2d4b90"
FORM = {
    "grant_type": "client_credentials",
    "client_id": CLIENT,
    "client_secret": "made-up",
    "scope": SCOPE,
}
TOKEN = f"/{TENANT}/oauth2/v2.0/token"


@pytest.fixture
async def entra(sim: Simulator) -> AsyncIterator[Entra]:
    """Running Entra ID."""
    async with Entra(sim, [App(CLIENT, secrets=("made-up",))]) as entra:
        yield entra


@pytest.fixture
async def http(entra: Entra, sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP client that trusts the simulator's CA."""
    context = ssl.create_default_context(cadata=sim.ca_pem)
    async with httpx.AsyncClient(base_url=entra.authority, verify=context, trust_env=False) as http:
        yield http


async def test_a_token(entra: Entra, http: httpx.AsyncClient) -> None:
    """A token has the form of RFC 6749 §5.1 and the length of Entra's, and is valid until it expires or is revoked."""
    answer = (await http.post(TOKEN, data=FORM)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 4500)
    token = answer["access_token"]
    assert 1500 < len(token) < 4000
    assert entra.is_valid_token(token)
    assert not entra.is_valid_token(token + "x")
    entra.revoke()
    assert not entra.is_valid_token(token)
    assert [(asked.client_id, asked.method, asked.outcome) for asked in entra.requests] == [(CLIENT, "secret", "ok")]


async def test_a_token_expires_by_the_simulators_clock(entra: Entra, http: httpx.AsyncClient) -> None:
    """A token expires after its lifetime on the simulator's clock."""
    entra.lifetime = -1.0
    token = (await http.post(TOKEN, data=FORM)).json()["access_token"]
    assert not entra.is_valid_token(token)


REFUSED: dict[str, tuple[dict[str, str], int, str, str]] = {
    "grant type": ({"grant_type": "password"}, 400, "invalid_request", "AADSTS900144"),
    "scope of users": ({"scope": "https://outlook.office.com/SMTP.Send"}, 400, "invalid_scope", "AADSTS1002012"),
    "scope": ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_resource", "AADSTS500011"),
    "app": ({"client_id": "another"}, 400, "unauthorized_client", "AADSTS700016"),
    "secret": ({"client_secret": "wrong"}, 401, "invalid_client", "AADSTS7000215"),
    "no secret": ({"client_secret": ""}, 401, "invalid_client", "AADSTS7000218"),
    "type of assertion": ({"client_assertion": "x"}, 400, "invalid_request", "AADSTS50027"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal(entra: Entra, http: httpx.AsyncClient, name: str) -> None:
    """The error response has Entra's form: OAuth error, AADSTS number and trace id."""
    changes, status, error, code = REFUSED[name]
    answer = await http.post(TOKEN, data={**FORM, **changes})
    said: dict[str, Any] = answer.json()
    assert (answer.status_code, said["error"]) == (status, error)
    assert said["error_codes"] == [int(code.removeprefix("AADSTS"))]
    assert said["error_description"].startswith(f"{code}: ")
    assert said["trace_id"] in said["error_description"]
    assert [asked.outcome for asked in entra.requests] == [code]


async def test_another_tenant_is_not_found(http: httpx.AsyncClient) -> None:
    """Discovery and the token endpoint refuse another tenant."""
    for answer in (
        await http.get("/contoso.com/v2.0/.well-known/openid-configuration"),
        await http.post("/contoso.com/oauth2/v2.0/token", data=FORM),
    ):
        assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


async def test_scripted_failures(entra: Entra, http: httpx.AsyncClient) -> None:
    """Each failure is applied `times` times, in order; without a number until `clear_failures`."""
    entra.refuse("503", times=2, retry_after=5)
    entra.refuse("AADSTS7000222")
    entra.refuse("429", times=None)
    answers = [await http.post(TOKEN, data=FORM) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [503, 503, 401, 429, 429]
    assert answers[0].headers["Retry-After"] == "5"
    entra.clear_failures()
    assert (await http.post(TOKEN, data=FORM)).status_code == 200


async def test_a_managed_identity_requires_its_header(entra: Entra, http: httpx.AsyncClient) -> None:
    """Requests without the required header are refused."""
    query = {"resource": "https://outlook.office365.com", "api-version": "2018-02-01"}
    machine, service = "/metadata/identity/oauth2/token", "/msi/token"
    assert (await http.get(machine, params=query)).status_code == 400
    assert (await http.get(service, params=query)).status_code == 401
    assert entra.requests == []
    good = await http.get(machine, params=query, headers={"Metadata": "true"})
    assert entra.is_valid_token(good.json()["access_token"])
    good = await http.get(service, params=query, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER})
    assert entra.is_valid_token(good.json()["access_token"])
    unknown = await http.get(machine, params={**query, "client_id": CLIENT}, headers={"Metadata": "true"})
    assert unknown.json() == {"error": "invalid_request", "error_description": "Identity not found"}
