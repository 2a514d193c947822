"""Each of the four token grants against a checking token endpoint, and every way to fail."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from app.simulator import Simulator
from app.simulator.entra import IDENTITY_HEADER, SCOPE
from app.smtp.auth.client_certificate import ClientCertificate
from app.smtp.auth.credentials import CredentialError, SecretFile, TokenRefusedError, TransientTokenError
from app.smtp.auth.grants import CertificateGrant, ClientSecret, FederatedToken, Grant, ManagedIdentity, Token
from tests.entra import SECRET, RunningEntra, app, certificate, federated, key_pem, pem, pfx, running_entra


def both(*before: x509.Certificate, name: str = "app", password: str | None = None) -> bytes:
    """Return a PEM file with these certificates, the app's own, and the key."""
    return "".join([*(pem(one) for one in before), pem(certificate(name)), key_pem(name, password)]).encode()


FILES: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "PEM": (both, None),
    "PEM, the key first": (lambda: b"".join([key_pem().encode(), pem(certificate()).encode()]), None),
    "PEM with a chain": (lambda: both(certificate("other")), None),
    "PEM, locked": (lambda: both(password="open"), "open"),
    "PFX": (lambda: pfx(certificate()), None),
    "PFX, locked": (lambda: pfx(certificate(), password="open"), "open"),
}


@pytest.fixture
async def entra(tmp_path: Path) -> AsyncIterator[RunningEntra]:
    """Running Entra ID."""
    async with Simulator() as simulator, running_entra(simulator, tmp_path) as entra:
        yield entra


async def fetch(grant: Grant) -> Token:
    """Fetch in a thread, as the token source does."""
    return await asyncio.to_thread(grant.fetch)


async def refusal(grant: Grant) -> CredentialError:
    """Return the reason why there is no token."""
    with pytest.raises(CredentialError) as caught:
        await fetch(grant)
    return caught.value


async def test_a_client_secret_gets_a_token(entra: RunningEntra) -> None:
    """One request; the token has the endpoint's lifetime."""
    token = await fetch(ClientSecret(entra.registration(), SECRET))
    assert entra.entra.is_valid_token(token.value)
    assert token.lifetime == 4500
    assert [(asked.method, asked.outcome) for asked in entra.entra.requests] == [("secret", "ok")]


@pytest.mark.parametrize("name", FILES)
async def test_a_certificate_gets_a_token(entra: RunningEntra, tmp_path: Path, name: str) -> None:
    """In every file form; the endpoint verifies signature, thumbprint, audience and dates."""
    make, password = FILES[name]
    content = make()
    (tmp_path / "app.cert").write_bytes(content)
    entra.entra.directory.add(app(certificates=(ClientCertificate.load(content, password).certificate,)))
    token = await fetch(CertificateGrant(entra.registration(), tmp_path / "app.cert", password))
    assert entra.entra.is_valid_token(token.value)
    assert [(asked.method, asked.outcome) for asked in entra.entra.requests] == [("certificate", "ok")]


async def test_a_federated_token_is_read_at_each_use(entra: RunningEntra, tmp_path: Path) -> None:
    """An expired token is refused; a new token in the file is used immediately."""
    file = tmp_path / "token"
    file.write_text(federated(exp=int(time.time()) - 3600))
    grant = FederatedToken(entra.registration(), file)
    refused = await refusal(grant)
    assert isinstance(refused, TransientTokenError)
    assert refused.code == "AADSTS700024"
    file.write_text(federated() + "\n")
    assert entra.entra.is_valid_token((await fetch(grant)).value)
    assert entra.outcomes == ["AADSTS700024", "ok"]


@pytest.mark.parametrize("client", ["", "22c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c02"])
async def test_a_managed_identity_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    """System-assigned and user-assigned."""
    async with Simulator() as simulator, running_entra(simulator, tmp_path, identities=(client,)) as entra:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.entra.authority)
        token = await fetch(ManagedIdentity(entra.registration(client=client)))
        assert entra.entra.is_valid_token(token.value)
        assert [(asked.client_id, asked.method) for asked in entra.entra.requests] == [(client, "identity")]


async def test_a_managed_identity_of_app_service(entra: RunningEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service, Functions and Container Apps have their own endpoint."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", entra.entra.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    token = await fetch(ManagedIdentity(entra.registration(client="")))
    assert entra.entra.is_valid_token(token.value)
    assert 4490 <= token.lifetime <= 4500
    unknown = await refusal(ManagedIdentity(entra.registration()))
    assert unknown.code == "identity-unknown"


async def test_a_missing_managed_identity_is_an_error(entra: RunningEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permanent on a machine without it, transient without the endpoint."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.entra.authority)
    assert (await refusal(ManagedIdentity(entra.registration()))).code == "identity-unknown"
    await entra.entra.stop()
    gone = await refusal(ManagedIdentity(entra.registration()))
    assert isinstance(gone, TransientTokenError)
    assert gone.code == "identity-endpoint"


async def test_the_second_secret_is_used_when_the_first_is_refused(entra: RunningEntra) -> None:
    """And first from then on; if both are refused, the error is the first one's."""
    grant = ClientSecret(entra.registration(), "the-old~one", SECRET)
    await fetch(grant)
    await fetch(grant)
    assert entra.outcomes == ["AADSTS7000215", "ok", "ok"]
    entra.entra.refuse("AADSTS7000222")
    entra.entra.refuse("AADSTS7000215")
    assert (await refusal(grant)).code == "AADSTS7000222"


async def test_the_second_secret_is_not_tried_for_another_error(entra: RunningEntra) -> None:
    """Such as an unknown app."""
    entra.entra.refuse("AADSTS700016", times=None)
    assert (await refusal(ClientSecret(entra.registration(), SECRET, "another~one"))).code == "AADSTS700016"
    assert entra.outcomes == ["AADSTS700016"]


async def test_a_secret_file_is_read_at_each_use(entra: RunningEntra, tmp_path: Path) -> None:
    """Rotation needs no restart; a missing file is a plain error."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    grant = ClientSecret(entra.registration(), SecretFile(file))
    await fetch(grant)
    entra.entra.directory.add(app(secrets=("rotated~secret",)))
    assert (await refusal(grant)).code == "AADSTS7000215"
    file.write_text("rotated~secret")
    await fetch(grant)
    file.unlink()
    gone = await refusal(grant)
    assert gone.code == "credential-file"
    assert str(gone) == f"The file {file} cannot be read: No such file or directory."
    file.write_text("\n")
    assert str(await refusal(grant)) == f"The file {file} is empty."


CHANGES = {
    "another tenant": ({"tenant": "contoso.com"}, "AADSTS90002"),
    "another app": ({"client": "22c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c02"}, "AADSTS700016"),
    "another resource": ({"scope": "https://graph.microsoft.com/.default"}, "AADSTS500011"),
    "no .default": ({"scope": "https://outlook.office365.com/SMTP.Send"}, "AADSTS1002012"),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_wrong_setting_is_a_permanent_error(entra: RunningEntra, name: str) -> None:
    """With the AADSTS code."""
    changes, code = CHANGES[name]
    refused = await refusal(ClientSecret(entra.registration(**changes), SECRET))
    assert isinstance(refused, TokenRefusedError)
    assert refused.code == code
    assert code in str(refused)


FEDERATIONS = {
    "issuer": ({"iss": "https://elsewhere.example/"}, "AADSTS700211"),
    "subject": ({"sub": "system:serviceaccount:other:postern"}, "AADSTS700213"),
    "audience": ({"aud": "api://another"}, "AADSTS700212"),
    "key": ({"name": "mallory"}, "AADSTS700027"),
}


@pytest.mark.parametrize("name", FEDERATIONS)
async def test_a_federated_token_that_does_not_match_is_refused(entra: RunningEntra, tmp_path: Path, name: str) -> None:
    """Subject and issuer are compared exactly, and the signature is verified."""
    changes, code = FEDERATIONS[name]
    (tmp_path / "token").write_text(federated(**changes))
    assert (await refusal(FederatedToken(entra.registration(), tmp_path / "token"))).code == code


async def test_an_unregistered_certificate_is_refused(entra: RunningEntra, tmp_path: Path) -> None:
    """Its signature is valid."""
    (tmp_path / "app.pem").write_text(pem(certificate("mallory")) + key_pem("mallory"))
    assert (await refusal(CertificateGrant(entra.registration(), tmp_path / "app.pem"))).code == "AADSTS700027"


UNPAIRED = "holds no certificate for its private key"
BROKEN: dict[str, tuple[Callable[[], bytes], str | None, str]] = {
    "no key": (lambda: bytes(pem(certificate()), "ascii"), None, "holds no private key"),
    "no certificate": (lambda: bytes(key_pem(), "ascii"), None, UNPAIRED),
    "another's": (lambda: bytes(pem(certificate("other")) + key_pem(), "ascii"), None, UNPAIRED),
    "locked": (lambda: both(password="open"), None, "needs a password"),
    "wrong password": (lambda: pfx(certificate(), password="open"), "shut", "does not open with that password"),
    "nonsense": (lambda: b"hello", None, "is neither PEM nor PFX with a certificate and its private key"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_unusable_certificate_file_is_an_error_without_a_request(
    entra: RunningEntra, tmp_path: Path, name: str
) -> None:
    content, password, words = BROKEN[name]
    file = tmp_path / "app.cert"
    file.write_bytes(content())
    broken = await refusal(CertificateGrant(entra.registration(), file, password))
    assert str(broken) == f"The file {file} {words}."
    assert broken.code == "credential-file"
    assert entra.entra.requests == []


@pytest.mark.parametrize("code", ["500", "503", "429", "AADSTS90033"])
async def test_transient_errors_have_their_retry_time(entra: RunningEntra, code: str) -> None:
    """As the endpoint's Retry-After."""
    entra.entra.refuse(code, retry_after=7)
    refused = await refusal(ClientSecret(entra.registration(), SECRET))
    assert isinstance(refused, TransientTokenError)
    assert refused.retry_after == 7


async def test_an_unreachable_or_untrusted_endpoint_is_transient(entra: RunningEntra) -> None:
    """No secret is sent."""
    untrusted = await refusal(ClientSecret(entra.registration(ca_file=None), SECRET))
    assert isinstance(untrusted, TransientTokenError)
    assert untrusted.code == "token-endpoint-untrusted"
    assert entra.entra.requests == []
    await entra.entra.stop()
    gone = await refusal(ClientSecret(entra.registration(), SECRET))
    assert isinstance(gone, TransientTokenError)
    assert str(gone) == "localhost cannot be reached."


async def test_the_expiry_of_a_certificate(entra: RunningEntra, tmp_path: Path) -> None:
    """Expiry of the current file; None if it is unreadable."""
    file = tmp_path / "app.pem"
    grant = CertificateGrant(entra.registration(), file)
    assert grant.expiry() is None
    file.write_text(pem(certificate(ends=timedelta(days=10))) + key_pem())
    ending = grant.expiry()
    assert ending is not None
    assert ending.at == pytest.approx(time.time() + 10 * 86_400, abs=60)


async def test_no_secret_is_logged_or_shown(
    entra: RunningEntra, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By Postern, MSAL and its libraries, at every log level."""
    (tmp_path / "token").write_text(assertion := federated())
    caplog.set_level(logging.DEBUG)
    grants: list[Grant] = [
        ClientSecret(entra.registration(), SECRET),
        FederatedToken(entra.registration(), tmp_path / "token"),
    ]
    tokens = [await fetch(grant) for grant in grants]
    entra.entra.refuse("AADSTS7000215")
    refused = await refusal(grants[0])
    shown = f"{caplog.text} {tokens!r} {grants!r} {refused!r} {refused} {entra.registration(scope=SCOPE)!r}"
    for secret in (SECRET, assertion, *(token.value for token in tokens)):
        assert secret not in shown
