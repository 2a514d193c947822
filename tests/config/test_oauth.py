"""OAuth 2.0 in the settings: exactly one way to log in, one line per mistake, and the clouds."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.clock import Clock
from app.mailbox_factory import MailboxFactory
from app.settings import Settings, SettingsError, load
from app.smtp.auth.oauth import OAuth
from tests.entra import CLIENT, certificate, key_pem, pem, pfx

TENANT = "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10"
GOOD = {
    "POSTERN_MAILBOX": "noreply@contoso.com",
    "POSTERN_TENANT_ID": TENANT,
    "POSTERN_CLIENT_ID": CLIENT,
    "POSTERN_CLIENT_SECRET": "made-up~client.secret",
}
OVERVIEW = "of the app's Overview at https://entra.microsoft.com."

WRONG: list[tuple[dict[str, str | None], str]] = [
    (
        {"POSTERN_CLIENT_SECRET": None, "POSTERN_TENANT_ID": None, "POSTERN_CLIENT_ID": None},
        "POSTERN_PASSWORD: is missing. Set it to the mailbox's password or App Password, "
        "or set POSTERN_TENANT_ID, POSTERN_CLIENT_ID and POSTERN_CLIENT_SECRET for OAuth 2.0.",
    ),
    (
        {"POSTERN_CLIENT_SECRET": None},
        "POSTERN_CLIENT_SECRET: is missing. Set it, or POSTERN_CLIENT_CERTIFICATE, POSTERN_FEDERATED_TOKEN_FILE or "
        "POSTERN_MANAGED_IDENTITY=true.",
    ),
    (
        {"POSTERN_PASSWORD": "a-password"},
        "POSTERN_CLIENT_SECRET: is given together with POSTERN_PASSWORD. Keep one of them.",
    ),
    (
        {"POSTERN_PASSWORD": "a-password", "POSTERN_CLIENT_SECRET": None},
        "POSTERN_TENANT_ID: is given together with POSTERN_PASSWORD. Keep one of them.",
    ),
    (
        {"POSTERN_FEDERATED_TOKEN_FILE": __file__},
        "POSTERN_FEDERATED_TOKEN_FILE: is given together with POSTERN_CLIENT_SECRET. Keep one of them.",
    ),
    (
        {"POSTERN_MANAGED_IDENTITY": "true"},
        "POSTERN_MANAGED_IDENTITY: is given together with POSTERN_CLIENT_SECRET. Keep one of them.",
    ),
    (
        {"POSTERN_TENANT_ID": None},
        f"POSTERN_TENANT_ID: is missing. Set it to the Directory (tenant) ID {OVERVIEW}",
    ),
    (
        {"POSTERN_CLIENT_ID": None},
        f"POSTERN_CLIENT_ID: is missing. Set it to the Application (client) ID {OVERVIEW}",
    ),
    (
        {"POSTERN_TENANT_ID": "common"},
        f"POSTERN_TENANT_ID: 'common' is for users of any organization. Give the Directory (tenant) ID {OVERVIEW}",
    ),
    (
        {"POSTERN_TENANT_ID": "Contoso Ltd"},
        f"POSTERN_TENANT_ID: 'Contoso Ltd' is neither an id nor a domain. Give the Directory (tenant) ID {OVERVIEW}",
    ),
    (
        {"POSTERN_CLIENT_ID": "Postern"},
        f"POSTERN_CLIENT_ID: 'Postern' is no id. Give the Application (client) ID {OVERVIEW}",
    ),
    (
        {"POSTERN_CLIENT_SECRET": CLIENT},
        "POSTERN_CLIENT_SECRET: is the secret's id. Give its Value, which is shown only once, when it is made.",
    ),
    (
        {"POSTERN_CLIENT_SECRET": None, "POSTERN_CLIENT_CERTIFICATE": "/nowhere/app.pem"},
        "POSTERN_CLIENT_CERTIFICATE: '/nowhere/app.pem' is not a file that can be read. "
        "Give the path of the file, readable for Postern's user.",
    ),
    (
        {"POSTERN_CLIENT_SECRET": None, "POSTERN_CLIENT_CERTIFICATE": __file__},
        f"POSTERN_CLIENT_CERTIFICATE: {__file__!r} is neither PEM nor PFX with a certificate and its private key. "
        "Give a PEM or PFX file with the certificate and its RSA key.",
    ),
    (
        {"POSTERN_CLIENT_SECRET": None, "POSTERN_MANAGED_IDENTITY": "true", "POSTERN_CLIENT_SECRET_NEXT": "x"},
        "POSTERN_CLIENT_SECRET_NEXT: is given without POSTERN_CLIENT_SECRET. Set that one too, or take this one out.",
    ),
    (
        {"POSTERN_CLIENT_CERTIFICATE_PASSWORD": "x"},
        "POSTERN_CLIENT_CERTIFICATE_PASSWORD: is given without POSTERN_CLIENT_CERTIFICATE. "
        "Set that one too, or take this one out.",
    ),
    (
        {"POSTERN_CLOUD": "germany"},
        "POSTERN_CLOUD: 'germany' is not one of the choices. Give 'worldwide', 'gcc-high', 'dod' or 'china'.",
    ),
    (
        {"POSTERN_AUTHORITY": "login.microsoftonline.com"},
        "POSTERN_AUTHORITY: 'login.microsoftonline.com' is not an authority. "
        "Give https:// and the host alone: https://login.microsoftonline.com.",
    ),
    (
        {"POSTERN_TOKEN_SCOPE": "https://graph.microsoft.com/.default"},
        "POSTERN_TOKEN_SCOPE: 'https://graph.microsoft.com/.default' is for Microsoft Graph, and Exchange refuses such "
        "a token. Give https://outlook.office365.com/.default.",
    ),
    (
        {"POSTERN_TOKEN_SCOPE": "https://outlook.office.com/SMTP.Send"},
        "POSTERN_TOKEN_SCOPE: 'https://outlook.office.com/SMTP.Send' is no scope for an app. "
        "Give one that ends with /.default: https://outlook.office365.com/.default.",
    ),
    (
        {"POSTERN_TOKEN_CA_FILE": "/nowhere/ca.pem"},
        "POSTERN_TOKEN_CA_FILE: '/nowhere/ca.pem' is not a file that can be read. "
        "Give the path of a PEM file with the CA's certificate.",
    ),
]


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None]) -> None:
    """Return the valid settings with these changes."""
    for name, value in {**GOOD, **variables}.items():
        if value is not None:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("variables", "line"), WRONG, ids=[line.partition(".")[0] for _, line in WRONG])
def test_a_wrong_setting_gives_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None], line: str
) -> None:
    """The whole line is compared, because operators act on it."""
    give(monkeypatch, variables)
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    assert str(raised.value) == line
    assert "made-up~client.secret" not in str(raised.value)


CLOUDS = {
    None: ("smtp.office365.com", "https://login.microsoftonline.com", "https://outlook.office365.com/.default"),
    "gcc-high": ("smtp.office365.us", "https://login.microsoftonline.us", "https://outlook.office365.us/.default"),
    "dod": ("outlook-dod.office365.us", "https://login.microsoftonline.us", "https://outlook.office365.us/.default"),
    "china": (
        "smtp.partner.outlook.cn",
        "https://login.partner.microsoftonline.cn",
        "https://partner.outlook.cn/.default",
    ),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_gives_host_authority_and_scope(monkeypatch: pytest.MonkeyPatch, cloud: str | None) -> None:
    """A host, authority or scope that is set as well takes precedence."""
    give(monkeypatch, {"POSTERN_CLOUD": cloud})
    settings = load(Settings)
    assert (settings.smtp_host, settings.authority, settings.token_scope) == CLOUDS[cloud]
    monkeypatch.setenv("POSTERN_SMTP_HOST", "relay.contoso.com")
    monkeypatch.setenv("POSTERN_AUTHORITY", "https://login.contoso.com/")
    settings = load(Settings)
    assert (settings.smtp_host, settings.authority) == ("relay.contoso.com", "https://login.contoso.com")


@pytest.mark.parametrize("locked", [False, True])
def test_a_certificate_is_opened_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, locked: bool) -> None:
    """A wrong password is one line at the start, instead of a held mailbox later."""
    file = tmp_path / "app.pfx"
    file.write_bytes(pfx(certificate(), password="open" if locked else None))
    password = "open" if locked else None
    variables = {"POSTERN_CLIENT_SECRET": None, "POSTERN_CLIENT_CERTIFICATE": str(file)}
    give(monkeypatch, {**variables, "POSTERN_CLIENT_CERTIFICATE_PASSWORD": password})
    assert load(Settings).client_certificate == file
    monkeypatch.setenv("POSTERN_CLIENT_CERTIFICATE_PASSWORD", "shut")
    if locked:
        with pytest.raises(SettingsError, match="does not open with that password"):
            load(Settings)


def test_a_certificate_in_place_of_its_path_is_reported_without_its_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`_FILE` names a file that holds the setting, but this setting is a path already."""
    file = tmp_path / "app.pem"
    file.write_text(pem(certificate()) + key_pem())
    give(monkeypatch, {"POSTERN_CLIENT_SECRET": None, "POSTERN_CLIENT_CERTIFICATE_FILE": str(file)})
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    assert str(raised.value) == (
        "POSTERN_CLIENT_CERTIFICATE: holds the certificate itself. Give the path of the file here, without _FILE."
    )


async def test_a_secret_from_a_file_is_read_at_every_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also a password: the next login uses the current content of the file."""
    file = tmp_path / "secret"
    file.write_text("first\n")
    none = {"POSTERN_TENANT_ID": None, "POSTERN_CLIENT_ID": None, "POSTERN_CLIENT_SECRET": None}
    give(monkeypatch, {**none, "POSTERN_PASSWORD_FILE": str(file)})
    settings = load(Settings)
    login = MailboxFactory(Clock()).credentials(settings.pools[0].mailboxes[0])
    assert (await login.secret()).value == "first"
    file.write_text("second\n")
    assert (await login.secret()).value == "second"
    assert "first" not in f"{settings!r}{login!r}"


def test_each_way_to_log_in_has_its_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate has its expiry date, a password the date on which Basic authentication is retired."""
    give(monkeypatch, {})
    login = MailboxFactory(Clock()).credentials(load(Settings).pools[0].mailboxes[0])
    assert isinstance(login, OAuth)
    assert login.expiry() is None
    assert "made-up~client.secret" not in repr(login)
    file = tmp_path / "app.pem"
    file.write_text(pem(certificate(ends=timedelta(days=20))) + key_pem())
    monkeypatch.delenv("POSTERN_CLIENT_SECRET")
    monkeypatch.setenv("POSTERN_CLIENT_CERTIFICATE", str(file))
    ending = MailboxFactory(Clock()).credentials(load(Settings).pools[0].mailboxes[0]).expiry()
    assert ending is not None
    assert ending.what == "client certificate"
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_CERTIFICATE"):
        monkeypatch.delenv(f"POSTERN_{name}")
    monkeypatch.setenv("POSTERN_PASSWORD", "a-password")
    ending = MailboxFactory(Clock()).credentials(load(Settings).pools[0].mailboxes[0]).expiry()
    assert ending is not None
    assert ending.what == "password"
