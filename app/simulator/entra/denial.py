"""Error responses of the token endpoint in the form of Microsoft Entra (RFC 6749 §5.2)."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

_TEXTS = {
    "AADSTS70011": ("invalid_scope", "The provided value for the input parameter 'scope' is not valid."),
    "AADSTS1002012": ("invalid_scope", "Client credential flows must have a scope that ends with /.default."),
    "AADSTS500011": ("invalid_resource", "The resource principal was not found in the tenant."),
    "AADSTS50027": ("invalid_request", "JWT token is invalid or malformed."),
    "AADSTS70021": ("invalid_request", "No matching federated identity record found for presented assertion."),
    "AADSTS700016": ("unauthorized_client", "Application was not found in the directory."),
    "AADSTS700021": ("invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter."),
    "AADSTS700023": ("invalid_client", "Client assertion audience claim does not match Realm issuer."),
    "AADSTS700024": ("invalid_client", "Client assertion is not within its valid time range."),
    "AADSTS700027": ("invalid_client", "The certificate used to sign the client assertion is not registered."),
    "AADSTS700211": ("invalid_client", "No matching federated identity record found for presented assertion issuer."),
    "AADSTS700212": ("invalid_client", "No matching federated identity record found for presented assertion audience."),
    "AADSTS700213": ("invalid_client", "No matching federated identity record found for presented assertion subject."),
    "AADSTS7000215": ("invalid_client", "Invalid client secret provided."),
    "AADSTS7000218": ("invalid_client", "The request body must contain 'client_assertion' or 'client_secret'."),
    "AADSTS7000222": ("invalid_client", "The provided client secret keys are expired."),
    "AADSTS90002": ("invalid_tenant", "Tenant not found."),
    "AADSTS90033": ("temporarily_unavailable", "A transient error has occurred. Please try again."),
    "AADSTS900144": ("invalid_request", "The request body must contain the right 'grant_type'."),
}
_UNAUTHORIZED = frozenset({"invalid_client"})  # Entra responds with 401, which RFC 6749 §5.2 allows


class DenialError(Exception):
    """Refused token request. `code` is an AADSTS number or an HTTP status; `retry_after` is in seconds."""

    def __init__(self, code: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.error, self.text = _TEXTS.get(code, ("invalid_request", "The request is refused."))
        self.code = code
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """HTTP status."""
        if self.code.isdigit():
            return int(self.code)
        if self.error == "temporarily_unavailable":
            return 503
        return 401 if self.error in _UNAUTHORIZED else 400

    @property
    def headers(self) -> dict[str, str]:
        """Response headers: Retry-After, if `retry_after` is set."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def body(self, now: float) -> dict[str, Any]:
        """Return the JSON body; without OAuth members for a plain HTTP status."""
        if self.code.isdigit():
            return {"message": "The service is unavailable."}
        trace, correlation = str(uuid4()), str(uuid4())
        time = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return {
            "error": self.error,
            "error_description": f"{self.code}: {self.text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {time}",
            "error_codes": [int(self.code.removeprefix("AADSTS"))],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code.removeprefix('AADSTS')}",
        }
