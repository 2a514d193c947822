"""Errors of Microsoft Entra ID as data: an explanation of each, and whether the cause can be temporary.

A row is found by its AADSTS number, else by OAuth's `error` (RFC 6749 §5.2), because Microsoft may change the numbers.
Codes with a hyphen are local causes. `app.mail.policy` applies the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.verdict import Explanation

_CODES = "learn.microsoft.com/entra/identity-platform/reference-error-codes"
_FEDERATION = "learn.microsoft.com/entra/workload-id/workload-identity-federation"
_MANAGED = "learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token"
_RFC = "RFC 6749 §5.2"

_APP = "At https://entra.microsoft.com open App registrations, the app"
_SECRETS = f"{_APP}, Certificates & secrets"
_READS_AGAIN = "Postern reads a secret in a file again; otherwise restart Postern."
_AUTOMATIC = "Nothing to do: Postern requests a token again automatically."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Explanation of one cause. `codes` are AADSTS numbers, values of OAuth's `error`, or names of local causes."""

    name: str
    codes: tuple[str, ...]
    summary: str
    fix: str
    source: str = _CODES
    hold: bool = True  # False: the cause may be temporary
    explanation: Explanation = field(init=False)

    def __post_init__(self) -> None:
        """Build the explanation once."""
        object.__setattr__(self, "explanation", Explanation(self.summary, self.fix))


_SECRET = (
    Row(
        name="client-secret-wrong",
        codes=("AADSTS7000215",),
        summary="Microsoft Entra refuses the app's client secret: it is wrong.",
        fix=numbered(
            f"{_SECRETS}. The secret is its Value, not its Secret ID. The Value is shown only once: if it is lost, "
            "create a new secret.",
            "Set the Value in POSTERN_CLIENT_SECRET.",
            _READS_AGAIN,
        ),
    ),
    Row(
        name="client-secret-expired",
        codes=("AADSTS7000222",),
        summary="The app's client secret has expired.",
        fix=numbered(
            f"{_SECRETS}, and create a new secret.",
            "Set its Value in POSTERN_CLIENT_SECRET. Next time, set the new one in POSTERN_CLIENT_SECRET_NEXT before "
            "the old one expires.",
            _READS_AGAIN,
        ),
    ),
    Row(
        name="client-credential-missing",
        codes=("AADSTS7000218", "AADSTS7000216"),
        summary="Microsoft Entra received neither a secret nor an assertion for the app.",
        fix="Check that POSTERN_CLIENT_SECRET, or the file that it comes from, is not empty.",
    ),
    Row(
        name="client-credential-refused",
        codes=("invalid_client",),
        summary="Microsoft Entra refuses the app's credential.",
        fix=numbered(
            f"{_SECRETS}. The secret, the certificate or the federated credential that Postern uses must be registered "
            "there and must not have expired.",
            _READS_AGAIN,
        ),
        source=_RFC,
    ),
)

_ASSERTION = (
    Row(
        name="client-certificate-not-registered",
        codes=("AADSTS700027", "AADSTS7000274", "AADSTS50012"),
        summary="Microsoft Entra does not accept the app's certificate: it is not registered there, or has expired.",
        fix=numbered(
            f"{_SECRETS}, Certificates. Upload the certificate of POSTERN_CLIENT_CERTIFICATE without its key, and "
            "compare the thumbprints.",
            _READS_AGAIN,
        ),
    ),
    Row(
        name="client-certificate-ended",
        codes=("AADSTS1000502", "AADSTS7000214", "AADSTS7000277"),
        summary="The app's certificate has expired, is not yet valid, or was revoked.",
        fix=numbered(
            f"{_SECRETS}, Certificates, and upload a new certificate.",
            "Put it with its key into the file of POSTERN_CLIENT_CERTIFICATE.",
            _READS_AGAIN,
        ),
    ),
    Row(
        name="assertion-time",
        codes=("AADSTS700024",),
        summary="Microsoft Entra rejects the app's assertion: it is too old or from the future.",
        fix="Set the clock of this machine right (NTP). With POSTERN_FEDERATED_TOKEN_FILE, check that the program that "
        "writes that file still renews it.",
        hold=False,
    ),
    Row(
        name="assertion-of-another-app",
        codes=("AADSTS700021",),
        summary="The assertion names another app than POSTERN_CLIENT_ID.",
        fix="Set POSTERN_CLIENT_ID to the Application (client) ID for which the federated token is issued.",
    ),
    Row(
        name="federation-not-registered",
        codes=("AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS7002121", "AADSTS700213"),
        summary="The app has no federated credential that matches the token in POSTERN_FEDERATED_TOKEN_FILE.",
        fix=numbered(
            f"{_SECRETS}, Federated credentials. Issuer, subject (system:serviceaccount:<namespace>:<service-account> "
            "in Kubernetes) and audience (api://AzureADTokenExchange) must be exactly those of the token.",
            "Microsoft needs a few minutes to apply the change.",
        ),
        source=_FEDERATION,
    ),
)

_APP_OR_TENANT = (
    Row(
        name="app-unknown",
        codes=("AADSTS700016",),
        summary="Your organization has no app with this client id.",
        fix=numbered(
            f"{_APP}, Overview.",
            "Set POSTERN_CLIENT_ID to its Application (client) ID and POSTERN_TENANT_ID to its Directory (tenant) ID, "
            "then restart Postern.",
        ),
    ),
    Row(
        name="app-disabled",
        codes=("AADSTS7000112", "AADSTS7000229"),
        summary="The app is disabled in your organization, or has no enterprise application there.",
        fix="At https://entra.microsoft.com open Enterprise applications, the app, Properties. Enabled for users to "
        "sign in must be Yes. If the app is not in the list, grant admin consent under App registrations.",
    ),
    Row(
        name="app-not-authorized",
        codes=("unauthorized_client", "AADSTS501051"),
        summary="The app may not ask for tokens in your organization.",
        fix=f"{_APP}, API permissions. Add the permissions that Postern needs (deploy/office365/README.md) and grant "
        "admin consent.",
    ),
    Row(
        name="tenant-unknown",
        codes=("AADSTS90002", "AADSTS900021", "AADSTS900023", "invalid_tenant"),
        summary="There is no organization with this tenant id in this cloud.",
        fix=numbered(
            f"{_APP}, Overview.",
            "Set POSTERN_TENANT_ID to its Directory (tenant) ID. For a national cloud set POSTERN_CLOUD too. Then "
            "restart Postern.",
        ),
    ),
    Row(
        name="wrong-cloud",
        codes=("AADSTS90038", "AADSTS900382", "AADSTS900432"),
        summary="The organization belongs to another cloud.",
        fix="Set POSTERN_CLOUD to gcc-high, dod or china, whichever the organization is in, then restart Postern.",
    ),
    Row(
        name="token-scope-wrong",
        codes=("AADSTS70011", "AADSTS1002012", "AADSTS500011", "AADSTS50001", "invalid_scope", "invalid_resource"),
        summary="Microsoft Entra does not know the scope of the token request.",
        fix="Remove POSTERN_TOKEN_SCOPE: its default, https://outlook.office365.com/.default, is right. For "
        "a national cloud set POSTERN_CLOUD instead. Then restart Postern.",
    ),
    Row(
        name="token-conditional-access",
        codes=("AADSTS53003", "AADSTS530035"),
        summary="A Conditional Access policy of your organization refuses the app, usually because of this server's IP "
        "address.",
        fix=numbered(
            "At https://entra.microsoft.com open Enterprise applications, the app, Sign-in logs, Service principal "
            "sign-ins. The failed sign-in names the policy.",
            "Allow this server's public IP address in that policy, or exclude the app from it.",
        ),
    ),
    Row(
        name="token-request-refused",
        codes=("invalid_request", "invalid_grant", "unsupported_grant_type", "access_denied"),
        summary="Microsoft Entra refuses the request for a token.",
        fix=numbered(
            "Look the AADSTS number up at https://login.microsoftonline.com/error.",
            "Check POSTERN_TENANT_ID, POSTERN_CLIENT_ID and POSTERN_AUTHORITY.",
        ),
        source=_RFC,
    ),
)

_IDENTITY = (
    Row(
        name="managed-identity-unknown",
        codes=("identity-unknown",),
        summary="This machine has no such managed identity.",
        fix="In the Azure portal open this machine or app, Identity. Switch the system-assigned identity on, or add "
        "the user-assigned one and set POSTERN_CLIENT_ID to its client id.",
        source=_MANAGED,
    ),
    Row(
        name="managed-identity-endpoint",
        codes=("identity-endpoint",),
        summary="The endpoint for managed identities cannot be reached from this machine.",
        fix="POSTERN_MANAGED_IDENTITY works on Azure alone (virtual machines, App Service, Container Apps, Arc). "
        "Elsewhere use POSTERN_CLIENT_CERTIFICATE or POSTERN_FEDERATED_TOKEN_FILE. On Azure, let the container reach "
        "169.254.169.254.",
        source=_MANAGED,
        hold=False,
    ),
)

_HERE = (
    Row(
        name="credential-file",
        codes=("credential-file",),
        summary="The file with the mailbox's credential cannot be used.",
        fix="Restore the file and make it readable for Postern's user (10001 in the container). Postern reads it again "
        "automatically.",
        source="Postern",
        hold=False,
    ),
    Row(
        name="token-endpoint-untrusted",
        codes=("token-endpoint-untrusted",),
        summary="The certificate of the token endpoint is not trusted, so no secret was sent to it.",
        fix="Find the device between here and Microsoft Entra that inspects TLS, such as a proxy, or set its CA "
        "certificate in POSTERN_TOKEN_CA_FILE.",
        source="RFC 6749 §3.2",
        hold=False,
    ),
)

_PASSING = (
    Row(
        name="entra-busy",
        codes=(
            "AADSTS90006", "AADSTS90012", "AADSTS90024", "AADSTS90033", "AADSTS90055", "AADSTS90090", "AADSTS90091",
            "AADSTS50000", "AADSTS50196", "temporarily_unavailable", "server_error",
        ),
        summary="Microsoft Entra cannot issue a token at the moment.",
        fix=f"{_AUTOMATIC} If it lasts for more than an hour, see https://status.azure.com and Health, Service health "
        "at https://admin.microsoft.com.",
        hold=False,
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = (*_SECRET, *_ASSERTION, *_APP_OR_TENANT, *_IDENTITY, *_HERE, *_PASSING)
_BY_CODE: Mapping[str, Row] = {code: row for row in ROWS for code in row.codes}


def row(code: str) -> Row | None:
    """Return the row of an AADSTS number, an OAuth error or a local cause, or None."""
    return _BY_CODE.get(code)
