"""HTTP routes of Microsoft Entra ID and of the managed identity endpoints."""

from hmac import compare_digest
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from app.simulator.entra.denial import DenialError
from app.simulator.entra.token_service import NO_IDENTITY, TokenService

IDENTITY_HEADER = "made-up-identity-header"  # App Service sets it in the environment
_routes = APIRouter()


def application(service: TokenService) -> FastAPI:
    """Return the application of one token service."""
    app = FastAPI(title="Postern's Entra simulator")
    app.state.service = service
    app.include_router(_routes)
    app.add_exception_handler(DenialError, _denied)
    return app


def _sts(request: Request) -> TokenService:
    service: TokenService = request.app.state.service
    return service


Service = Annotated[TokenService, Depends(_sts)]


def _denied(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DenialError)  # noqa: S101 - registered only for it
    return JSONResponse(error.body(_sts(request).clock.now()), error.status, error.headers)


@_routes.get("/{tenant}/v2.0/.well-known/openid-configuration")
async def discovery(service: Service, tenant: str) -> dict[str, Any]:
    """Return the OpenID configuration."""
    return service.discover(tenant)


@_routes.post("/{tenant}/oauth2/v2.0/token")
async def token(service: Service, tenant: str, request: Request) -> dict[str, Any]:
    """Issue a token."""
    return service.issue_app_token(tenant, dict(parse_qsl((await request.body()).decode())))


@_routes.get("/metadata/identity/oauth2/token", response_model=None)
async def instance_metadata(
    service: Service, request: Request, resource: str, client_id: str = ""
) -> dict[str, Any] | JSONResponse:
    """Issue a token as the Azure Instance Metadata Service (169.254.169.254) does."""
    if request.headers.get("Metadata") != "true":
        return JSONResponse({"error": "bad_request", "error_description": "Required metadata header missing"}, 400)
    try:
        return service.issue_identity_token(client_id, resource)
    except DenialError as denial:
        if denial.code != NO_IDENTITY:
            raise
        return JSONResponse({"error": "invalid_request", "error_description": "Identity not found"}, 400)


@_routes.get("/msi/token", response_model=None)
async def app_service(
    service: Service, request: Request, resource: str, client_id: str = ""
) -> dict[str, Any] | JSONResponse:
    """Issue a token as App Service, Functions and Container Apps do."""
    if not compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), IDENTITY_HEADER):
        return JSONResponse({"statusCode": 401, "message": "Unauthorized"}, 401)
    try:
        return service.issue_identity_token(client_id, resource)
    except DenialError as denial:
        if denial.code != NO_IDENTITY:
            raise
        message = "No User Assigned or Delegated Managed Identity found for specified ClientId."
        return JSONResponse({"statusCode": 400, "message": message, "correlationId": str(uuid4())}, 400)
