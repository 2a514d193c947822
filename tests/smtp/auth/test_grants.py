"""Each of the four grants to a token, asked of a token endpoint that checks everything; and each way not to get one."""

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
from app.smtp.auth.credentials import SecretFile
from app.smtp.auth.failure import CredentialError, TokenRefusedError, TransientTokenError
from app.smtp.auth.grants import CertificateGrant, ClientSecret, FederatedToken, Grant, ManagedIdentity, Token
from tests.entra import SECRET, RunningEntra, app, certificate, federated, key_pem, pem, pfx, running_entra


def both(*before: x509.Certificate, name: str = "app", password: str | None = None) -> bytes:
    """A PEM file: these certificates, the app's own, and the key."""
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
async def there(tmp_path: Path) -> AsyncIterator[RunningEntra]:
    """An Entra that listens."""
    async with Simulator() as simulator, running_entra(simulator, tmp_path) as there:
        yield there


async def fetch(grant: Grant) -> Token:
    """Fetch in a thread, as the token source does."""
    return await asyncio.to_thread(grant.fetch)


async def refusal(grant: Grant) -> CredentialError:
    """Why there is no token."""
    with pytest.raises(CredentialError) as caught:
        await fetch(grant)
    return caught.value


async def test_a_client_secret(there: RunningEntra) -> None:
    """One request, and a token of the endpoint's with its lifetime."""
    token = await fetch(ClientSecret(there.registration(), SECRET))
    assert there.entra.is_valid_token(token.value)
    assert token.lifetime == 4500
    assert [(asked.method, asked.outcome) for asked in there.entra.requests] == [("secret", "ok")]


@pytest.mark.parametrize("name", FILES)
async def test_a_certificate(there: RunningEntra, tmp_path: Path, name: str) -> None:
    """In every form; the endpoint verifies the signature, the thumbprint, the audience and the dates."""
    make, password = FILES[name]
    content = make()
    (tmp_path / "app.cert").write_bytes(content)
    there.entra.directory.add(app(certificates=(ClientCertificate.load(content, password).certificate,)))
    token = await fetch(CertificateGrant(there.registration(), tmp_path / "app.cert", password))
    assert there.entra.is_valid_token(token.value)
    assert [(asked.method, asked.outcome) for asked in there.entra.requests] == [("certificate", "ok")]


async def test_a_federated_token_is_read_at_each_use(there: RunningEntra, tmp_path: Path) -> None:
    """An expired token is refused; a new token in the file is used immediately."""
    file = tmp_path / "token"
    file.write_text(federated(exp=int(time.time()) - 3600))
    grant = FederatedToken(there.registration(), file)
    refused = await refusal(grant)
    assert isinstance(refused, TransientTokenError)
    assert refused.code == "AADSTS700024"
    file.write_text(federated() + "\n")
    assert there.entra.is_valid_token((await fetch(grant)).value)
    assert there.outcomes == ["AADSTS700024", "ok"]


@pytest.mark.parametrize("client", ["", "22c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c02"])
async def test_a_managed_identity_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    """The system's own, or a user-assigned one."""
    async with Simulator() as simulator, running_entra(simulator, tmp_path, identities=(client,)) as there:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", there.entra.authority)
        token = await fetch(ManagedIdentity(there.registration(client=client)))
        assert there.entra.is_valid_token(token.value)
        assert [(asked.client_id, asked.method) for asked in there.entra.requests] == [(client, "identity")]


async def test_a_managed_identity_of_app_service(there: RunningEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service, Functions and Container Apps have an endpoint of their own."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", there.entra.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    token = await fetch(ManagedIdentity(there.registration(client="")))
    assert there.entra.is_valid_token(token.value)
    assert 4490 <= token.lifetime <= 4500
    unknown = await refusal(ManagedIdentity(there.registration()))
    assert unknown.code == "identity-unknown"


async def test_an_identity_that_is_not_there(there: RunningEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without it says so; a place without the endpoint may get one."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", there.entra.authority)
    assert (await refusal(ManagedIdentity(there.registration()))).code == "identity-unknown"
    await there.entra.stop()
    gone = await refusal(ManagedIdentity(there.registration()))
    assert isinstance(gone, TransientTokenError)
    assert gone.code == "identity-endpoint"


async def test_the_second_secret_serves_when_the_first_is_refused(there: RunningEntra) -> None:
    """And goes first from then on; when both are refused, the first refusal is told."""
    grant = ClientSecret(there.registration(), "the-old~one", SECRET)
    await fetch(grant)
    await fetch(grant)
    assert there.outcomes == ["AADSTS7000215", "ok", "ok"]
    there.entra.refuse("AADSTS7000222")
    there.entra.refuse("AADSTS7000215")
    assert (await refusal(grant)).code == "AADSTS7000222"


async def test_what_is_not_the_secrets_fault_is_not_asked_twice(there: RunningEntra) -> None:
    """Another secret does not help an app that is not there."""
    there.entra.refuse("AADSTS700016", times=None)
    assert (await refusal(ClientSecret(there.registration(), SECRET, "another~one"))).code == "AADSTS700016"
    assert there.outcomes == ["AADSTS700016"]


async def test_a_secret_file_is_read_at_each_use(there: RunningEntra, tmp_path: Path) -> None:
    """Rotated without a restart; while it is gone, that is said plainly."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    grant = ClientSecret(there.registration(), SecretFile(file))
    await fetch(grant)
    there.entra.directory.add(app(secrets=("rotated~secret",)))
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
async def test_what_is_set_wrong_is_refused_for_good(there: RunningEntra, name: str) -> None:
    """The error has the AADSTS number."""
    changes, code = CHANGES[name]
    refused = await refusal(ClientSecret(there.registration(**changes), SECRET))
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
async def test_a_federated_token_that_does_not_match(there: RunningEntra, tmp_path: Path, name: str) -> None:
    """Letter by letter, and signed by the issuer."""
    changes, code = FEDERATIONS[name]
    (tmp_path / "token").write_text(federated(**changes))
    assert (await refusal(FederatedToken(there.registration(), tmp_path / "token"))).code == code


async def test_a_certificate_that_is_not_registered(there: RunningEntra, tmp_path: Path) -> None:
    """The signature is valid, but the certificate is not registered."""
    (tmp_path / "app.pem").write_text(pem(certificate("mallory")) + key_pem("mallory"))
    assert (await refusal(CertificateGrant(there.registration(), tmp_path / "app.pem"))).code == "AADSTS700027"


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
async def test_a_certificate_file_that_cannot_be_used(there: RunningEntra, tmp_path: Path, name: str) -> None:
    """A plain sentence, and nobody is asked."""
    content, password, words = BROKEN[name]
    file = tmp_path / "app.cert"
    file.write_bytes(content())
    broken = await refusal(CertificateGrant(there.registration(), file, password))
    assert str(broken) == f"The file {file} {words}."
    assert broken.code == "credential-file"
    assert there.entra.requests == []


@pytest.mark.parametrize("code", ["500", "503", "429", "AADSTS90033"])
async def test_trouble_that_may_pass(there: RunningEntra, code: str) -> None:
    """Is told apart, with the patience that the endpoint asks for."""
    there.entra.refuse(code, retry_after=7)
    refused = await refusal(ClientSecret(there.registration(), SECRET))
    assert isinstance(refused, TransientTokenError)
    assert refused.retry_after == 7


async def test_an_endpoint_that_cannot_be_reached(there: RunningEntra) -> None:
    """Nor trusted: then no secret has left."""
    untrusted = await refusal(ClientSecret(there.registration(ca_file=None), SECRET))
    assert isinstance(untrusted, TransientTokenError)
    assert untrusted.code == "token-endpoint-untrusted"
    assert there.entra.requests == []
    await there.entra.stop()
    gone = await refusal(ClientSecret(there.registration(), SECRET))
    assert isinstance(gone, TransientTokenError)
    assert str(gone) == "localhost cannot be reached."


async def test_a_certificates_last_day_is_known(there: RunningEntra, tmp_path: Path) -> None:
    """The expiry is that of the current file; None if the file is unreadable."""
    file = tmp_path / "app.pem"
    grant = CertificateGrant(there.registration(), file)
    assert grant.expiry() is None
    file.write_text(pem(certificate(ends=timedelta(days=10))) + key_pem())
    ending = grant.expiry()
    assert ending is not None
    assert ending.at == pytest.approx(time.time() + 10 * 86_400, abs=60)


async def test_nothing_secret_is_logged_or_shown(
    there: RunningEntra, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by us, not by MSAL and what is under it, not at the finest level."""
    (tmp_path / "token").write_text(assertion := federated())
    caplog.set_level(logging.DEBUG)
    grants: list[Grant] = [
        ClientSecret(there.registration(), SECRET),
        FederatedToken(there.registration(), tmp_path / "token"),
    ]
    tokens = [await fetch(grant) for grant in grants]
    there.entra.refuse("AADSTS7000215")
    refused = await refusal(grants[0])
    shown = f"{caplog.text} {tokens!r} {grants!r} {refused!r} {refused} {there.registration(scope=SCOPE)!r}"
    for secret in (SECRET, assertion, *(token.value for token in tokens)):
        assert secret not in shown
