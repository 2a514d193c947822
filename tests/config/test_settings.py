"""A wrong setting stops the start with one line: variable, fault and fix, without any secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, StoreSettings, load

GOOD = {"POSTERN_MAILBOX": "noreply@contoso.com", "POSTERN_PASSWORD": "a-password"}

WRONG = [
    ({"POSTERN_MAILBOX": None}, "POSTERN_MAILBOX: is missing. Set it, for example to noreply@contoso.com."),
    (
        {"POSTERN_MAILBOX": "noreply"},
        "POSTERN_MAILBOX: 'noreply' is not an email address. Give one such as noreply@contoso.com.",
    ),
    (
        {"POSTERN_MAILBOX": "Contoso <noreply@contoso.com>"},
        "POSTERN_MAILBOX: 'Contoso <noreply@contoso.com>' has a display name. "
        "Give the address alone: noreply@contoso.com.",
    ),
    (
        {"POSTERN_PASSWORD": None},
        "POSTERN_PASSWORD: is missing. Set it to the mailbox's password or App Password, "
        "or set POSTERN_TENANT_ID, POSTERN_CLIENT_ID and POSTERN_CLIENT_SECRET for OAuth 2.0.",
    ),
    (
        {"POSTERN_SMTP_PORT": "465"},
        "POSTERN_SMTP_PORT: '465' is implicit TLS (SSL), which Office 365 does not offer. "
        "It offers STARTTLS on 587 only: give 587.",
    ),
    ({"POSTERN_SMTP_PORT": "smtp"}, "POSTERN_SMTP_PORT: 'smtp' is not a whole number. Give digits only."),
    ({"POSTERN_SMTP_PORT": "70000"}, "POSTERN_SMTP_PORT: '70000' is not a port. Give 587."),
    (
        {"POSTERN_SMTP_HOST": "smtps://smtp.office365.com:465"},
        "POSTERN_SMTP_HOST: 'smtps://smtp.office365.com:465' is a URL. Give the host alone: smtp.office365.com.",
    ),
    (
        {"POSTERN_SMTP_HOST": "smtp.office365.com:587"},
        "POSTERN_SMTP_HOST: 'smtp.office365.com:587' has a port in it. "
        "Give the host here and the port in POSTERN_SMTP_PORT.",
    ),
    (
        {"POSTERN_SMTP_HOST": "smtp office365"},
        "POSTERN_SMTP_HOST: 'smtp office365' is not a host name. Give a name such as smtp.office365.com.",
    ),
    (
        {"POSTERN_SMTP_CA_FILE": "/nowhere/ca.pem"},
        "POSTERN_SMTP_CA_FILE: '/nowhere/ca.pem' is not a file that can be read. "
        "Give the path of a PEM file with the CA's certificate.",
    ),
    (
        {"POSTERN_SMTP_CA_FILE": __file__},
        f"POSTERN_SMTP_CA_FILE: {__file__!r} has no certificate in PEM form. "
        "Give a file that begins with BEGIN CERTIFICATE.",
    ),
    (
        {"POSTERN_EHLO_NAME": "my_host."},
        "POSTERN_EHLO_NAME: 'my_host.' is not a full domain name. "
        "Give one such as postern.contoso.com: no underscore, no dot at the end.",
    ),
    ({"POSTERN_PORT": "-1"}, "POSTERN_PORT: '-1' is too small. Give 0 or more."),
    (
        {"POSTERN_PORT": "tcp://10.0.0.7:8025"},
        "POSTERN_PORT: 'tcp://10.0.0.7:8025' was put there by Kubernetes for a Service of this name. "
        "Set enableServiceLinks: false in the pod, or set POSTERN_PORT yourself.",
    ),
    (
        {"POSTERN_FORWARDED_ALLOW_IPS": "10.0.0.1, gateway"},
        "POSTERN_FORWARDED_ALLOW_IPS: '10.0.0.1, gateway' has an invalid address or network: "
        "'gateway' does not appear to be an IPv4 or IPv6 network. "
        "Give addresses or networks with commas, such as 10.1.2.3 or 10.2.0.0/16.",
    ),
    (
        {"POSTERN_ROOT_PATH": "https://intranet/mail"},
        "POSTERN_ROOT_PATH: 'https://intranet/mail' is not a path. "
        "Give one such as /mail, with a slash at the start and without a host.",
    ),
    (
        {"POSTERN_API_KEY": "short"},
        "POSTERN_API_KEY: is shorter than 16 characters. Make one with: openssl rand -hex 24.",
    ),
    (
        {"POSTERN_CONSOLE_PASSWORD": "short"},
        "POSTERN_CONSOLE_PASSWORD: is shorter than 12 characters. Make one with: openssl rand -hex 12.",
    ),
    (
        {"POSTERN_CONSOLE_READ_PASSWORD": "a-password-to-read"},
        "POSTERN_CONSOLE_READ_PASSWORD: has no effect without POSTERN_CONSOLE_PASSWORD. Set the operators' password, "
        "too.",
    ),
    (
        dict.fromkeys(("POSTERN_CONSOLE_PASSWORD", "POSTERN_CONSOLE_READ_PASSWORD"), "the-same-password"),
        "POSTERN_CONSOLE_READ_PASSWORD: is the same as POSTERN_CONSOLE_PASSWORD. Make another with: openssl rand "
        "-hex 12.",
    ),
    ({"POSTERN_CONNECTIONS": "0"}, "POSTERN_CONNECTIONS: '0' is too small. Give 1 or more."),
    ({"POSTERN_CONNECTIONS": "1000"}, "POSTERN_CONNECTIONS: '1000' is too large. Give 100 or less."),
    (
        {"POSTERN_MESSAGES_PER_MINUTE": "30/min"},
        "POSTERN_MESSAGES_PER_MINUTE: '30/min' is not a whole number. Give digits only.",
    ),
    ({"POSTERN_KEEP_CONTENT_DAYS": "-1"}, "POSTERN_KEEP_CONTENT_DAYS: '-1' is too small. Give 0 or more."),
    ({"POSTERN_KEEP_AUDIT_DAYS": "0"}, "POSTERN_KEEP_AUDIT_DAYS: '0' is too small. Give 1 or more."),
    ({"POSTERN_KEEP_METADATA_DAYS": "0"}, "POSTERN_KEEP_METADATA_DAYS: '0' is too small. Give 1 or more."),
    (
        {"POSTERN_KEEP_METADATA_DAYS": "3"},
        "POSTERN_KEEP_METADATA_DAYS: '3' is less than POSTERN_KEEP_CONTENT_DAYS, which is 7. "
        "Give 7 or more, or keep contents for 3 days at most.",
    ),
    (
        {"POSTERN_KEEP_CONTENT_DAYS": "60"},
        "POSTERN_KEEP_METADATA_DAYS: 30 is less than POSTERN_KEEP_CONTENT_DAYS, which is 60. "
        "Give 60 or more, or keep contents for 30 days at most.",
    ),
    (
        {"POSTERN_DRAIN_SECONDS": "soon"},
        "POSTERN_DRAIN_SECONDS: 'soon' is not a number. Give digits, with a point if needed.",
    ),
    ({"POSTERN_IPV4_ONLY": "perhaps"}, "POSTERN_IPV4_ONLY: 'perhaps' is not a boolean. Give true or false."),
    (
        {"POSTERN_LOG_LEVEL": "verbose"},
        "POSTERN_LOG_LEVEL: 'verbose' is not one of the choices. Give 'debug', 'info', 'warning' or 'error'.",
    ),
    (
        {"POSTERN_SENDERS": "contoso.com"},
        "POSTERN_SENDERS: 'contoso.com' has an invalid sender pattern: 'contoso.com', it has no @. "
        "Give an address, *@contoso.com, *@*.contoso.com or * alone.",
    ),
    (
        {"POSTERN_DATABASE_URL": "mysql://db/mail"},
        "POSTERN_DATABASE_URL: 'mysql://db/mail' is not a database that keeps mail. "
        "Give sqlite:///path/to/postern.db or postgresql://user:password@host/name.",
    ),
    (
        {"POSTERN_DATABASE_URL": "postgresql://me:secret@db"},
        "POSTERN_DATABASE_URL: is not a database that keeps mail. "
        "Give sqlite:///path/to/postern.db or postgresql://user:password@host/name.",
    ),
    (
        {"POSTERN_ROLE": "api"},
        "POSTERN_ROLE: 'api' needs a database server, because an embedded database allows one process only. "
        "Give all, or set POSTERN_DATABASE_URL to postgresql://user:password@host/name.",
    ),
    (
        {"POSTERN_ROLE": "worker", "POSTERN_DATABASE_URL": "postgresql://db/mail"},
        "POSTERN_ROLE: 'worker' is not one of the choices. Give 'all', 'api' or 'relay'.",
    ),
    (
        {"POSTERN_MAX_MESSAGE_BYTES": "200000000"},
        "POSTERN_MAX_MESSAGE_BYTES: '200000000' is too large. Give 157286400 or less.",
    ),
    ({"POSTERN_PASWORD": "x"}, "POSTERN_PASWORD: there is no such setting. Did you mean POSTERN_PASSWORD?"),
    (
        {"POSTERN_PASWORD_FILE": "x"},
        "POSTERN_PASWORD_FILE: there is no such setting. Did you mean POSTERN_PASSWORD_FILE?",
    ),
    ({"POSTERN_XYZZY": "x"}, "POSTERN_XYZZY: there is no such setting. deploy/docs/settings.md lists the settings."),
    (
        {"POSTERN_PASSWORD_FILE": "/nowhere/secret"},
        "POSTERN_PASSWORD: is given twice, also as POSTERN_PASSWORD_FILE. Keep one of them.",
    ),
    (
        {"POSTERN_PASSWORD": None, "POSTERN_PASSWORD_FILE": "/nowhere/secret"},
        "POSTERN_PASSWORD_FILE: '/nowhere/secret' cannot be read: No such file or directory. Mount the secret there.",
    ),
    (
        {"POSTERN_PASSWORD": None, "POSTERN_PASSWORD_FILE": os.devnull},
        "POSTERN_PASSWORD_FILE: '/dev/null' is empty. Put the secret into it.",
    ),
    (
        {"POSTERN_CONFIG": "/nowhere/postern.toml"},
        "POSTERN_CONFIG: '/nowhere/postern.toml' cannot be read: No such file or directory. "
        "Give the path of postern.toml.",
    ),
]


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None]) -> None:
    """Return the valid settings with these changes."""
    for name, value in {**GOOD, **variables}.items():
        if value is not None:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "line"), WRONG, ids=lambda value: next(iter(value)) if type(value) is dict else ""
)
def test_a_wrong_setting_gives_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None], line: str
) -> None:
    """The whole line is compared, because operators act on it."""
    give(monkeypatch, variables)
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    assert str(raised.value) == line


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other setting has a default for Office 365."""
    give(monkeypatch, {})
    settings = load(Settings)
    assert (settings.smtp_host, settings.smtp_port, settings.ehlo) == ("smtp.office365.com", 587, "contoso.com")
    assert (settings.connections, settings.messages_per_minute, settings.recipients_per_day) == (3, 30, 10_000)
    assert settings.pools[0].senders == ("noreply@contoso.com",)
    assert settings.store_url == "sqlite:///data/postern.db"


def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the line end that editors and echo append."""
    (tmp_path / "secret").write_text("from a file\n")
    give(monkeypatch, {"POSTERN_PASSWORD": None, "POSTERN_PASSWORD_FILE": str(tmp_path / "secret")})
    password = load(Settings).password
    assert password is not None
    assert password.get_secret_value() == "from a file"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mailbx = 'a@b.com'", "{path}: there is no setting mailbx. Did you mean mailbox?"),
        ("mailbox = ", "POSTERN_CONFIG: {path!r} is not TOML: Invalid value (at end of document). Correct that line."),
    ],
)
def test_an_unknown_name_in_the_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, line: str
) -> None:
    """A typing error must not be ignored."""
    path = tmp_path / "postern.toml"
    path.write_text(text)
    give(monkeypatch, {"POSTERN_CONFIG": str(path)})
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    assert str(raised.value) == line.format(path=str(path))


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no error and in no repr of the settings."""
    give(monkeypatch, {"POSTERN_API_KEY": "a-secret"})
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    assert "a-secret" not in str(raised.value)
    monkeypatch.setenv("POSTERN_API_KEY", "a-secret-of-this-test")
    assert "a-secret" not in f"{load(Settings)!r} {load(Settings)}"


def test_commands_over_the_store_need_no_mailbox() -> None:
    """`postern keys create` works before anything else is set."""
    assert load(StoreSettings).store_url == "sqlite:///data/postern.db"


def test_variables_of_a_kubernetes_service_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service called postern puts POSTERN_SERVICE_HOST and similar names into every pod."""
    give(monkeypatch, {"POSTERN_SERVICE_HOST": "10.0.0.7", "POSTERN_PORT_8025_TCP_ADDR": "10.0.0.7"})
    assert load(Settings).port == 8025


def test_a_wrong_setting_ends_the_start_with_78() -> None:
    """sysexits' EX_CONFIG, one line and no traceback."""
    environment = {**os.environ, **GOOD, "POSTERN_SMTP_PORT": "465"}
    ended = subprocess.run(
        [sys.executable, "-m", "app", "serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 78
    assert ended.stdout == ""
    assert ended.stderr == (
        "postern: POSTERN_SMTP_PORT: '465' is implicit TLS (SSL), which Office 365 does not offer. "
        "It offers STARTTLS on 587 only: give 587.\n"
    )
