"""Security token service: issues and validates tokens, and records the requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.clock import Clock
from app.simulator.entra.denial import DenialError
from app.simulator.entra.directory import App, Directory, TokenRequest
from app.simulator.entra.tokens import SCOPE, TENANT, Tokens

_DEFAULT_SCOPE = "/.default"
NO_IDENTITY = "400"


@dataclass(slots=True)
class _ScriptedFailure:
    denial: DenialError
    times: int | None  # None: no limit


class TokenService:
    """Token service of one tenant. `lifetime` is that of new tokens, in seconds of the clock.

    `identities` are the client ids of the machine's managed identities, "" for the system-assigned one.
    """

    def __init__(
        self,
        clock: Clock,
        apps: Iterable[App] = (),
        *,
        lifetime: float = 4500.0,
        scope: str = SCOPE,
        identities: Iterable[str] = ("",),
    ) -> None:
        self.authority = ""  # https:// and host, set when the server listens
        self.clock = clock
        self.directory = Directory(apps)
        self.lifetime = lifetime
        self.requests: list[TokenRequest] = []
        self._resources = [scope.removesuffix(_DEFAULT_SCOPE)]
        self.permissions: dict[str, tuple[str, ...]] = {self._resources[0]: ("SMTP.SendAsApp",)}  # by resource
        self._identities = tuple(identities)
        self._tokens = Tokens(clock)
        self._failures: list[_ScriptedFailure] = []

    # Scripted failures.

    def refuse(self, code: str, *, times: int | None = 1, retry_after: int | None = None) -> None:
        """Refuse the next `times` requests (None: all) with an AADSTS number or an HTTP status."""
        self._failures.append(_ScriptedFailure(DenialError(code, retry_after), times))

    def clear_failures(self) -> None:
        """Remove the failures that `refuse` added."""
        self._failures.clear()

    def revoke(self) -> None:
        """Invalidate all issued tokens."""
        self._tokens.revoke_all()

    def add_resource(self, resource: str, *permissions: str) -> None:
        """Also issue tokens for this resource (a URL), whose scope ends with /.default, with these permissions."""
        self._resources.append(resource)
        self.permissions[resource] = permissions

    def is_valid_token(self, token: str) -> bool:
        """Return True for an issued token of the first scope that is still valid. For `Account(validate_token=...)`."""
        return self._tokens.is_valid(token, self._resources[0])

    def is_valid_for(self, token: str, resource: str) -> bool:
        """Return True for an issued token of this resource that is still valid."""
        return self._tokens.is_valid(token, resource)

    # Responses.

    def discover(self, tenant: str) -> dict[str, Any]:
        """Return the members of OpenID Connect Discovery §4 that MSAL reads. Raises DenialError."""
        _check_tenant(tenant)
        return {
            "issuer": f"{self.authority}/{tenant}/v2.0",
            "token_endpoint": self.token_endpoint(tenant),
            "authorization_endpoint": f"{self.authority}/{tenant}/oauth2/v2.0/authorize",
        }

    def token_endpoint(self, tenant: str) -> str:
        """Return the URL of the token endpoint, the audience of assertions."""
        return f"{self.authority}/{tenant}/oauth2/v2.0/token"

    def issue_app_token(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Issue a token to an app that authenticates itself (RFC 6749 §4.4). Raises DenialError."""
        client = form.get("client_id", "")
        method = "secret" if "client_secret" in form else "assertion"
        try:
            self._raise_scripted()
            self._check(tenant, form)
            method = self.directory.authenticate(form, self.token_endpoint(tenant))
        except DenialError as denial:
            self._record(client, method, denial.code)
            raise
        self._record(client, method, "ok")
        lifetime = int(self.lifetime)
        token = self._issue(client, form["scope"].removesuffix(_DEFAULT_SCOPE))
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    def issue_identity_token(self, client: str, resource: str) -> dict[str, Any]:
        """Issue a token to a managed identity; "" is the system-assigned one. Raises DenialError."""
        try:
            self._raise_scripted()
            if client not in self._identities or resource.rstrip("/") not in self._resources:
                raise DenialError(NO_IDENTITY)
        except DenialError as denial:
            self._record(client, "identity", denial.code)
            raise
        self._record(client, "identity", "ok")
        return {
            "access_token": self._issue(client or "system-assigned", resource.rstrip("/")),
            "client_id": client,
            "expires_in": str(int(self.lifetime)),
            "expires_on": str(int(self.clock.now() + self.lifetime)),
            "resource": resource,
            "token_type": "Bearer",
        }

    def _issue(self, client: str, resource: str) -> str:
        return self._tokens.issue(client, self.lifetime, resource, self.permissions.get(resource, ()))

    def _check(self, tenant: str, form: Mapping[str, str]) -> None:
        _check_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            raise DenialError("AADSTS900144")
        if not form.get("scope", "").endswith(_DEFAULT_SCOPE):
            raise DenialError("AADSTS1002012")
        if form["scope"].removesuffix(_DEFAULT_SCOPE) not in self._resources:
            raise DenialError("AADSTS500011")

    def _raise_scripted(self) -> None:
        if not self._failures:
            return
        failure = self._failures[0]
        if failure.times is not None:
            failure.times -= 1
            if failure.times <= 0:
                self._failures.pop(0)
        raise failure.denial

    def _record(self, client: str, method: str, outcome: str) -> None:
        self.requests.append(TokenRequest(self.clock.now(), client, method, outcome))


def _check_tenant(tenant: str) -> None:
    if tenant != TENANT:
        raise DenialError("AADSTS90002")
