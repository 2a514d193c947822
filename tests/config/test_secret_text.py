"""Secrets as editors, `echo`, Compose and env files write them: accepted if unambiguous, else refused by name."""

import codecs
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import MailboxSettings, Settings, SettingsError, load
from app.smtp.auth.credentials import CredentialError, Password, SecretFile
from tests.config.toml_fixture import TomlFixture

SECRET = "correct-horse-battery"
KEY = "a-key-that-nobody-is-shown"
BOM = codecs.BOM_UTF8

MEANT = {
    "as it is": SECRET.encode(),
    "a line end": f"{SECRET}\n".encode(),
    "a line end of Windows": f"{SECRET}\r\n".encode(),
    "several line ends": f"{SECRET}\n\n".encode(),
    "a byte order mark": BOM + SECRET.encode(),
    "both": BOM + f"{SECRET}\r\n".encode(),
}
NOT_MEANT = {
    "NUL": (f"{SECRET}\0".encode(), "has NUL bytes, as UTF-16 text and binary files have. Save it as UTF-8 text."),
    "UTF-16": (SECRET.encode("utf-16"), "is UTF-16 text. Save it as UTF-8."),
    "UTF-16 of the other order": (
        codecs.BOM_UTF16_BE + SECRET.encode("utf-16-be"),
        "is UTF-16 text. Save it as UTF-8.",
    ),
    "UTF-16 without a mark": (
        SECRET.encode("utf-16-le"),
        "has NUL bytes, as UTF-16 text and binary files have. Save it as UTF-8 text.",
    ),
    "Latin-1": ("Größe-des-Passworts".encode("latin-1"), "is not UTF-8 text. Save it as UTF-8."),
    "ESC": (b"correct\x1b-horse-battery", "has the invisible character U+001B. Take it out."),
    "TAB": (b"correct\t-horse-battery", "has the invisible character U+0009. Take it out."),
    "zero width": ("correct\u200b-horse-battery".encode(), "has the invisible character U+200B. Take it out."),
    "two lines": (b"correct\n-horse-battery", "has a line break inside. Give it on one line."),
    "quotes": (b'"correct-horse-battery"', "stands between quotation marks. Give it without them."),
    "single quotes": (b"'correct-horse-battery'\n", "stands between quotation marks. Give it without them."),
    "nothing": (b"", "is empty. Put the secret into it."),
    "a line end alone": (b"\xef\xbb\xbf\r\n", "is empty. Put the secret into it."),
}


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTERN_MAILBOX", "noreply@contoso.com")


def password(settings: MailboxSettings) -> str:
    """Return the password that is used for login."""
    assert settings.password is not None
    return settings.password.get_secret_value()


def refusal() -> str:
    """Return the one line that stops the start."""
    with pytest.raises(SettingsError) as raised:
        load(Settings)
    line = str(raised.value)
    assert "correct" not in line
    assert "\n" not in line
    return line


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize("content", MEANT.values(), ids=MEANT)
def test_a_file_in_an_unambiguous_form_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    """At the start, and again at each use."""
    (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("POSTERN_PASSWORD_FILE", str(tmp_path / "secret"))
    assert password(load(Settings)) == SECRET
    assert SecretFile(tmp_path / "secret").read() == SECRET


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize(("content", "says"), NOT_MEANT.values(), ids=NOT_MEANT)
def test_an_ambiguous_file_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, says: str
) -> None:
    """For a variable of the environment and for a setting of postern.toml."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    monkeypatch.setenv("POSTERN_PASSWORD_FILE", str(file))
    assert refusal() == f"POSTERN_PASSWORD_FILE: {str(file)!r} {says}"
    monkeypatch.delenv("POSTERN_PASSWORD_FILE")
    (toml := tmp_path / "postern.toml").write_text(f'password_file = "{file}"\n')
    monkeypatch.setenv("POSTERN_CONFIG", str(toml))
    assert refusal() == f"{toml}: password_file: {str(file)!r} {says}"


@pytest.mark.parametrize(("content", "says"), NOT_MEANT.values(), ids=NOT_MEANT)
async def test_a_file_that_becomes_ambiguous_is_not_used_for_a_login(tmp_path: Path, content: bytes, says: str) -> None:
    """A failed rotation must not lock the mailbox."""
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(CredentialError) as raised:
        await Password("noreply@contoso.com", SecretFile(tmp_path / "secret")).secret()
    assert raised.value.code == "credential-file"
    assert says.partition(".")[0] in str(raised.value)


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("POSTERN_PASSWORD", "password"),
        ("POSTERN_API_KEY", "api_key"),
        ("POSTERN_CONSOLE_PASSWORD", "console_password"),
    ],
)
@pytest.mark.parametrize("form", ["{}\n", "{}\r\n", "\ufeff{}", "\ufeff{}\r\n\n"])
def test_a_variable_in_an_unambiguous_form_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, field: str, form: str
) -> None:
    """As a shell's `$(cat file; echo x)`, an env file of Windows and a YAML block write it."""
    monkeypatch.setenv("POSTERN_PASSWORD", "another-password")
    monkeypatch.setenv(name, form.format(SECRET))
    assert getattr(load(Settings), field).get_secret_value() == SECRET


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize(
    "name",
    [
        *("POSTERN_PASSWORD", "POSTERN_API_KEY", "POSTERN_CONSOLE_PASSWORD", "POSTERN_CONSOLE_READ_PASSWORD"),
        "POSTERN_CLIENT_SECRET",
    ],
)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (f'"{SECRET}"', "stands between quotation marks. Give it without them."),
        (f"'{SECRET}'", "stands between quotation marks. Give it without them."),
        (f"{SECRET}\n{SECRET}", "has a line break inside. Give it on one line."),
        (f"{SECRET}\x07", "has the invisible character U+0007. Take it out."),
        (f"\u202a{SECRET}", "has the invisible character U+202A. Take it out."),
        (f"{SECRET}\udcff", "is not UTF-8 text. Give it as UTF-8."),
    ],
)
def test_an_ambiguous_variable_is_refused_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv("POSTERN_PASSWORD", "another-password")
    monkeypatch.setenv(name, value)
    assert refusal() == f"{name}: {says}"


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize("key", ["a-key-with-ü-in-the-middle", "a key with blanks in it", " a-key-behind-a-blank"])
def test_an_api_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Every caller would get 403."""
    monkeypatch.setenv("POSTERN_PASSWORD", "another-password")
    monkeypatch.setenv("POSTERN_API_KEY", key)
    says = "has a blank or a character outside ASCII, which HTTP headers cannot carry"
    assert refusal() == f"POSTERN_API_KEY: {says}. Make one with: openssl rand -hex 24."


def test_line_ends_and_byte_order_marks_of_other_settings_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An env file of Windows has a line end at every value and a byte order mark at the first."""
    for name, value in {
        "POSTERN_MAILBOX": "\ufeffnoreply@contoso.com\r",
        "POSTERN_PASSWORD": f"{SECRET}\r",
        "POSTERN_DATABASE_URL": "postgresql://me:pass@db/mail\r",
        "POSTERN_SMTP_PORT": "2587\r",
        "POSTERN_LOG_LEVEL": "debug\r",
        "POSTERN_SENDERS": "*@contoso.com\r",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load(Settings)
    assert (settings.mailbox, settings.smtp_port, settings.log_level) == ("noreply@contoso.com", 2587, "debug")
    assert (settings.database_url, settings.senders) == ("postgresql://me:pass@db/mail", ("*@contoso.com",))
    monkeypatch.delenv("POSTERN_DATABASE_URL")
    (tmp_path / "url").write_bytes(BOM + b"postgresql://me:pass@db/mail\r\n")
    monkeypatch.setenv("POSTERN_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load(Settings).store_url == "postgresql://me:pass@db/mail"


@pytest.mark.usefixtures("mailbox")
def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Compose writes `${X:-}`: any setting, its `_FILE`, and POSTERN_CONFIG."""
    (tmp_path / "secret").write_text(SECRET)
    defaults = load(Settings, password=SECRET)
    for name in Settings.model_fields:
        if name not in ("pools", "mailbox"):
            monkeypatch.setenv(f"POSTERN_{name.upper()}", "")
    monkeypatch.setenv("POSTERN_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("POSTERN_API_KEY_FILE", "")
    monkeypatch.setenv("POSTERN_CONFIG", "")
    settings = load(Settings)
    assert password(settings) == SECRET
    assert settings.model_dump(exclude={"password", "pools"}) == defaults.model_dump(exclude={"password", "pools"})
    monkeypatch.setenv("POSTERN_PASSWORD", "\n")
    assert password(load(Settings)) == SECRET


def test_an_empty_variable_leaves_the_value_of_the_file(toml: TomlFixture) -> None:
    """An empty value in the file means the default; an empty secret of a mailbox is an error and inherits none."""
    text = 'mailbox = "noreply@contoso.com"\npassword = ""\npassword_file = ""\nlog_level = "debug"\nehlo_name = ""\n'
    settings = toml.load(text, LOG_LEVEL="", PASSWORD=SECRET)
    assert (settings.log_level, settings.ehlo, password(settings)) == ("debug", "contoso.com", SECRET)
    pools = '[[pools]]\nname = "one"\n[[pools.mailboxes]]\nmailbox = "one@contoso.com"\npassword = ""\n'
    with pytest.raises(SettingsError, match=r"pools\[0\].mailboxes\[0\].password: is missing. Set it"):
        toml.load(pools, PASSWORD=SECRET)


@pytest.mark.parametrize(
    "before",
    [b"", BOM, BOM + b"\r\n", BOM + b"# settings\r\n"],
    ids=["plain", "byte order mark", "mark and empty line", "mark and comment"],
)
def test_the_file_may_begin_with_a_byte_order_mark(toml: TomlFixture, before: bytes) -> None:
    """As editors on Windows write it. Its secrets are read like all others."""
    toml.path.write_bytes(before + f'mailbox = "noreply@contoso.com"\r\npassword = "{SECRET}\\n"\r\n'.encode())
    toml.patch.setenv("POSTERN_CONFIG", str(toml.path))
    assert password(load(Settings)) == SECRET


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-16", "is UTF-16 text. Save it as UTF-8."),
        ("utf-16-le", "has NUL bytes, as UTF-16 text and binary files have. Save it as UTF-8 text."),
        ("utf-16-be", "has NUL bytes, as UTF-16 text and binary files have. Save it as UTF-8 text."),
        ("latin-1", "is not UTF-8 text. Save it as UTF-8."),
    ],
)
def test_a_file_in_another_encoding_is_reported_as_such(toml: TomlFixture, encoding: str, says: str) -> None:
    toml.path.write_bytes('mailbox = "größe@contoso.com"\n'.encode(encoding))
    toml.patch.setenv("POSTERN_CONFIG", str(toml.path))
    assert refusal() == f"POSTERN_CONFIG: {str(toml.path)!r} {says}"


@pytest.mark.parametrize("value", ['"\\"correct\\""', '"correct\\u0000"', '"""correct\nhorse"""'])
def test_a_secret_in_the_toml_file_is_checked(toml: TomlFixture, value: str) -> None:
    """At the top level and in the table of a mailbox, each by its name."""
    line = toml.refused(f'mailbox = "noreply@contoso.com"\npassword = {value}\n')
    assert line.startswith("postern.toml: password: ")
    assert "correct" not in line
    table = f'[[pools]]\nname = "one"\n[[pools.mailboxes]]\nmailbox = "one@contoso.com"\npassword = {value}\n'
    line = toml.refused(table)
    assert line.startswith("postern.toml: pools[0].mailboxes[0].password: ")
    assert "correct" not in line


UNENCODED = [
    "postgresql://me:cor@rect@db/mail",
    "postgresql://me:cor/rect@db/mail",
    "postgresql://me:cor#rect@db/mail",
    "postgresql://me:cor?rect@db/mail",
    "postgresql://me:cor:rect@db/mail",
    "postgresql://me:cor%rect@db/mail",
    "postgresql://me:cor rect@db/mail",
    "postgres://m@e:correct@db:5432/mail",
    "postgresql://me:correct@db:rect/mail",
    "postgresql://me:correct/mail",
    "postgresql://me:correct@db",
    "postgresql://db/mail?user=me&password=cor@rect",
    "mysql://db/mail?password=correct",
    "'postgresql://me:correct@db/mail'",
    "postgresql://me:correct@db/ma\til",
]


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize("url", UNENCODED)
def test_an_unencoded_database_password_is_refused_without_the_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """One line that gives the correct form."""
    monkeypatch.setenv("POSTERN_PASSWORD", SECRET)
    monkeypatch.setenv("POSTERN_DATABASE_URL", url)
    line = refusal()
    assert line.startswith("POSTERN_DATABASE_URL: ")
    assert "rect" not in line
    assert "://me" not in line
    if url in UNENCODED[:9]:
        assert "Percent-encode" in line


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:cor%40%3A%2F%23%25rect@db:5432/mail",
        "postgresql://me@db/mail",
        "postgresql://db/mail?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://me:pass@[::1]:5432/mail",
        "postgresql:///mail?host=/run/postgresql",
        "sqlite:////var/lib/postern/a#b@c.db",
    ],
)
def test_an_unambiguous_database_url_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("POSTERN_PASSWORD", SECRET)
    monkeypatch.setenv("POSTERN_DATABASE_URL", url)
    assert load(Settings).store_url == url


@pytest.mark.usefixtures("mailbox")
@pytest.mark.parametrize("name", ["AUTHORITY", "SMTP_HOST", "TOKEN_SCOPE", "ROOT_PATH", "EHLO_NAME", "PORT"])
def test_a_url_with_a_user_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """For every setting that has a URL."""
    monkeypatch.setenv("POSTERN_PASSWORD", SECRET)
    monkeypatch.setenv(f"POSTERN_{name}", "https://me:correct@login.contoso.com/path")
    assert refusal().startswith(f"POSTERN_{name}: ")


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["keys", "list"], ["check"]])
def test_no_command_prints_a_database_password(command: list[str]) -> None:
    """Each names the setting and the fix, and exits with 78; `check` repeats its finding in the summary."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("POSTERN_")},
        "POSTERN_MAILBOX": "noreply@contoso.com",
        "POSTERN_PASSWORD": SECRET,
        "POSTERN_DATABASE_URL": "postgresql://me:cor@rect@127.0.0.1:1/mail",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "app", *command], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 78
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if "POSTERN_DATABASE_URL: " in line]
    assert len(lines) == (2 if command == ["check"] else 1)
    assert all("Percent-encode" in line for line in lines)
    assert "rect" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
