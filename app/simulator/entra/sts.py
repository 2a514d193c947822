"""The security token service: who gets a token, and which tokens are good. It remembers who asked; knows no HTTP."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.clock import Clock
from app.simulator.entra.denial import DenialError
from app.simulator.entra.directory import App, Directory, TokenRequest
from app.simulator.entra.tokens import SCOPE, TENANT, Tokens

_ANY = "/.default"
NO_IDENTITY = "400"


@dataclass(slots=True)
class _Scripted:
    denial: DenialError
    times: int | None  # None: for ever


class Sts:
    """One tenant's. `lifetime` is that of the next tokens, in seconds of the clock.

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
        self.authority = ""  # https:// and the host, known when somebody listens there
        self.clock = clock
        self.directory = Directory(apps)
        self.lifetime = lifetime
        self.requests: list[TokenRequest] = []
        self._scope = scope
        self._resource = scope.removesuffix(_ANY)
        self._identities = tuple(identities)
        self._tokens = Tokens(clock, self._resource)
        self._script: list[_Scripted] = []

    # What can be played.

    def refuse(self, code: str, *, times: int | None = 1, error: str = "", after: int | None = None) -> None:
        """Answer the next requests so: an AADSTS number, or a status such as "503". None: until `relent`."""
        self._script.append(_Scripted(DenialError(code, error, after), times))

    def clear_failures(self) -> None:
        """Take out what `refuse` has put in."""
        self._script.clear()

    def revoke(self) -> None:
        """The SMTP side refuses every token that was given until now."""
        self._tokens.revoke_all()

    def is_valid_token(self, token: str) -> bool:
        """For Account: true for a token of ours that is still good."""
        return self._tokens.is_valid(token)

    # The answers.

    def discover(self, tenant: str) -> dict[str, Any]:
        """OpenID Connect Discovery §4, as far as MSAL reads it. Raises Denial."""
        _check_tenant(tenant)
        return {
            "issuer": f"{self.authority}/{tenant}/v2.0",
            "token_endpoint": self.token_endpoint(tenant),
            "authorization_endpoint": f"{self.authority}/{tenant}/oauth2/v2.0/authorize",
        }

    def token_endpoint(self, tenant: str) -> str:
        """Its address, which an assertion must name."""
        return f"{self.authority}/{tenant}/oauth2/v2.0/token"

    def grant(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """A token for an app's credential (RFC 6749 §4.4). Raises Denial."""
        client = form.get("client_id", "")
        how = "secret" if "client_secret" in form else "assertion"
        try:
            self._play()
            self._check(tenant, form)
            how = self.directory.authenticate(form, self.token_endpoint(tenant))
        except DenialError as denial:
            self._remember(client, how, denial.code)
            raise
        self._remember(client, how, "ok")
        lifetime = int(self.lifetime)
        token = self._tokens.issue(client, self.lifetime)
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    def identify(self, client: str, resource: str) -> dict[str, Any]:
        """A token for a managed identity; "" is the system-assigned one. Raises Denial, of NO_IDENTITY if unknown."""
        try:
            self._play()
            if client not in self._identities or resource.rstrip("/") != self._resource:
                raise DenialError(NO_IDENTITY)
        except DenialError as denial:
            self._remember(client, "identity", denial.code)
            raise
        self._remember(client, "identity", "ok")
        return {
            "access_token": self._tokens.issue(client or "system-assigned", self.lifetime),
            "client_id": client,
            "expires_in": str(int(self.lifetime)),
            "expires_on": str(int(self.clock.now() + self.lifetime)),
            "resource": resource,
            "token_type": "Bearer",
        }

    def _check(self, tenant: str, form: Mapping[str, str]) -> None:
        _check_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            raise DenialError("AADSTS900144")
        if not form.get("scope", "").endswith(_ANY):
            raise DenialError("AADSTS1002012")
        if form["scope"] != self._scope:
            raise DenialError("AADSTS500011")

    def _play(self) -> None:
        if not self._script:
            return
        scripted = self._script[0]
        if scripted.times is not None:
            scripted.times -= 1
            if scripted.times <= 0:
                self._script.pop(0)
        raise scripted.denial

    def _remember(self, client: str, how: str, outcome: str) -> None:
        self.requests.append(TokenRequest(self.clock.now(), client, how, outcome))


def _check_tenant(tenant: str) -> None:
    if tenant != TENANT:
        raise DenialError("AADSTS90002")
