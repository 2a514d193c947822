"""Several mailboxes: values inherited from the top level, and the senders of each."""

from pathlib import Path

import pytest

from app.mail.message.address import parse_address
from app.settings import FileSecret, MailboxSettings, Settings, StoreSettings, load
from tests.config.toml_fixture import APP, HIDDEN, ONE, OTHER, SECRET, TENANT, TWO, TomlFixture, mailbox, pool
from tests.entra import CLIENT, certificate, key_pem, pem

ROOT = Path(__file__).parents[2]


def every(settings: Settings) -> list[MailboxSettings]:
    """Return the mailboxes of all pools."""
    return [mailbox for pool in settings.pools for mailbox in pool.mailboxes]


def value(secret: object) -> str | None:
    """Return the value of a secret."""
    return None if secret is None else str(secret.get_secret_value())  # type: ignore[attr-defined] # a SecretStr


def test_the_environment_alone_is_one_pool_of_one_mailbox(toml: TomlFixture) -> None:
    """Code that reads pools needs no special case for one mailbox."""
    variables = {
        "MAILBOX": "NoReply@contoso.com",
        "PASSWORD": "x",
        "CONNECTIONS": "2",
        "EHLO_NAME": "relay.contoso.com",
    }
    settings = toml.load('default_sender = "Contoso <noreply@contoso.com>"', **variables)
    [only] = settings.pools
    [it] = only.mailboxes
    assert (only.name, only.senders) == ("default", ("noreply@contoso.com",))
    assert only.default_sender == settings.routes.default_sender == "Contoso <noreply@contoso.com>"
    assert (it.mailbox, it.ehlo, it.connections, it.recipients_per_day) == (
        "noreply@contoso.com", "relay.contoso.com", 2, 10_000,
    )  # fmt: skip
    assert value(it.password) == "x"


def test_one_app_serves_all_mailboxes(toml: TomlFixture) -> None:
    """The top level applies to every mailbox without a value of its own; each greets with its own domain."""
    top = APP + 'cloud = "gcc-high"\nmessages_per_minute = 20\n'
    settings = toml.load(top + ONE + 'connections = 2\n[[pools.mailboxes]]\nmailbox = "b@fabrikam.com"\n')
    first, second = every(settings)
    for one in (first, second):
        assert (one.tenant_id, one.client_id, value(one.client_secret)) == (TENANT, CLIENT, SECRET)
        assert (one.smtp_host, one.authority) == ("smtp.office365.us", "https://login.microsoftonline.us")
        assert one.messages_per_minute == 20
    assert (first.connections, second.connections) == (2, 3)
    assert (first.ehlo, second.ehlo) == ("contoso.com", "fabrikam.com")


def test_a_mailbox_may_be_in_another_cloud(toml: TomlFixture) -> None:
    """Precedence: the mailbox's own values, then its cloud, then the top level."""
    top = APP + 'smtp_host = "relay.contoso.com"\n'
    settings = toml.load(top + ONE + TWO + 'cloud = "china"\nauthority = "https://login.contoso.cn"\n')
    first, second = every(settings)
    assert (first.smtp_host, first.authority) == ("relay.contoso.com", "https://login.microsoftonline.com")
    assert (second.smtp_host, second.authority) == ("smtp.partner.outlook.cn", "https://login.contoso.cn")
    assert second.token_scope == "https://partner.outlook.cn/.default"


OWN = {
    "password": ('password = "own"', {"password": "own"}),
    "secret of the same app": (
        'client_secret = "own"',
        {"client_secret": "own", "client_id": CLIENT, "tenant_id": TENANT},
    ),
    "its app's secret": (
        f'client_secret = "own"\nclient_id = "{OTHER}"',
        {"client_secret": "own", "client_id": OTHER, "tenant_id": TENANT},
    ),
    "federated token": (
        f'federated_token_file = "{__file__}"',
        {"federated_token_file": Path(__file__), "client_id": CLIENT, "tenant_id": TENANT},
    ),
    "system-assigned identity": ("managed_identity = true", {"managed_identity": True, "tenant_id": TENANT}),
    "user-assigned identity": (
        f'managed_identity = true\nclient_id = "{OTHER}"',
        {"managed_identity": True, "client_id": OTHER, "tenant_id": TENANT},
    ),
}
LOGIN = (
    "password", "tenant_id", "client_id", "client_secret", "client_secret_next", "client_certificate",
    "client_certificate_password", "federated_token_file", "managed_identity",
)  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_mailbox_with_its_own_login_inherits_no_other_login(toml: TomlFixture, name: str) -> None:
    """It inherits ids only where both logins can share them."""
    lines, expected = OWN[name]
    settings = toml.load(APP + 'client_secret_next = "next"\n' + mailbox(lines) + TWO)
    own, other = every(settings)
    given = {one: getattr(own, one) for one in LOGIN if getattr(own, one)}
    shown = {one: it if one not in ("password", "client_secret") else value(it) for one, it in given.items()}
    assert shown == expected
    assert (value(other.client_secret), value(other.client_secret_next)) == (SECRET, "next")


def test_the_client_id_of_a_managed_identity_is_not_inherited_by_an_app(toml: TomlFixture) -> None:
    top = f'tenant_id = "{TENANT}"\nclient_id = "{CLIENT}"\nmanaged_identity = true\n'
    line = toml.refused(top + mailbox('client_secret = "own"'))
    assert line.startswith("postern.toml: pools[0].mailboxes[0].client_id: is missing.")
    own = every(toml.load(top + mailbox(f'client_secret = "own"\nclient_id = "{OTHER}"')))[0]
    assert (own.client_id, own.managed_identity) == (OTHER, False)


@pytest.mark.parametrize("table", ["", ONE])
def test_a_secret_may_be_in_a_file(toml: TomlFixture, tmp_path: Path, table: str) -> None:
    """At the top level of the file and of a mailbox. The path is stored, to be read again."""
    (tmp_path / "secret").write_text("from a file\n")
    line = f'password_file = "{tmp_path}/secret"\n'
    settings = toml.load(table + line, **({} if table else {"MAILBOX": "one@contoso.com"}))
    [one] = every(settings)
    assert isinstance(one.password, FileSecret)
    assert (one.password.path, value(one.password)) == (tmp_path / "secret", "from a file")


def test_the_environment_takes_precedence_over_a_secret_file(toml: TomlFixture, tmp_path: Path) -> None:
    """As over every other value at the top level of the file."""
    (tmp_path / "secret").write_text("from a file\n")
    text = APP.replace("client_secret = ", "#") + f'client_secret_file = "{tmp_path}/secret"\n' + ONE
    assert value(every(toml.load(text))[0].client_secret) == "from a file"
    assert value(every(toml.load(text, CLIENT_SECRET="from there"))[0].client_secret) == "from there"


def test_a_sender_is_routed_to_its_pool(toml: TomlFixture) -> None:
    """By the mailboxes' own addresses without `senders`; the more specific pattern wins; else the first default."""
    text = APP + pool("a", '"a@contoso.com"', '"B@contoso.com"')
    text += pool("rest", '"c@contoso.com"', more='senders = ["*@contoso.com", "*@bücher.example"]')
    text += pool("d", '"d@fabrikam.com"', more='default_sender = "D <d@fabrikam.com>"')
    settings = toml.load(text)
    senders = ["b@contoso.com", "anna@contoso.com", "anna@xn--bcher-kva.example", "D@fabrikam.com", "e@fabrikam.com"]
    assert [settings.routes.route(parse_address(one)) for one in senders] == ["a", "rest", "rest", "d", None]
    assert settings.routes.default_sender == "D <d@fabrikam.com>"
    assert settings.pools[0].senders == ("a@contoso.com", "b@contoso.com")


def test_urgent_mail_has_a_reserved_connection_if_there_are_two(toml: TomlFixture) -> None:
    """One by default. With a single connection none is reserved, whatever the setting."""
    text = APP + pool("a", '"a@contoso.com"', '"b@contoso.com"\nconnections = 1', '"c@contoso.com"\nconnections = 9')
    assert [one.urgent_connections for one in every(toml.load(text))] == [1, 0, 1]
    assert [one.urgent_connections for one in every(toml.load("urgent_connections = 2\n" + text))] == [2, 0, 2]
    assert [one.urgent_connections for one in every(toml.load("urgent_connections = 0\n" + text))] == [0, 0, 0]


def test_the_tenant_quota_is_off_unless_set(toml: TomlFixture) -> None:
    assert toml.load(APP + ONE).tenant_recipients_per_day is None
    assert toml.load("tenant_recipients_per_day = 22_059\n" + APP + ONE).tenant_recipients_per_day == 22_059


def test_a_thousand_mailboxes_with_one_certificate_open_it_once(toml: TomlFixture, tmp_path: Path) -> None:
    (tmp_path / "app.pem").write_text(pem(certificate()) + key_pem())
    app = APP.replace(f'client_secret = "{SECRET}"', f'client_certificate = "{tmp_path}/app.pem"')
    text = app + "".join(pool(f"p{n}", f'"a{n}@contoso.com"', f'"b{n}@contoso.com"') for n in range(500))
    settings = toml.load(text)
    assert len(every(settings)) == 1000
    assert settings.routes.route(parse_address("b499@contoso.com")) == "p499"


def test_commands_over_the_store_read_no_secret(toml: TomlFixture) -> None:
    """`postern keys create` works where the secrets are not mounted."""
    toml.path.write_text('client_secret_file = "/nowhere/secret"\n' + ONE + 'password_file = "/nowhere/secret"\n')
    toml.patch.setenv("POSTERN_CONFIG", str(toml.path))
    assert load(StoreSettings).store_url == "sqlite:///data/postern.db"


def test_no_secret_is_shown(toml: TomlFixture) -> None:
    """In the repr of the settings and of every object made from them."""
    settings = toml.load(APP + f'client_secret_next = "{HIDDEN}"\n' + mailbox(f'password = "{HIDDEN}"') + TWO)
    assert HIDDEN not in f"{settings!r}{settings}{settings.pools}{every(settings)}"
    assert SECRET not in f"{settings!r}{settings}{settings.pools}{every(settings)}"


def test_the_example_file_is_valid(toml: TomlFixture, tmp_path: Path) -> None:
    """deploy/postern.toml is valid but for its secrets; the environment takes precedence over it."""
    text = (ROOT / "deploy" / "postern.toml").read_text("utf-8").replace("/run/secrets", str(tmp_path))
    for name in ("client-secret", "fabrikam-client-secret"):
        (tmp_path / name).write_text(f"{name}\n")
    settings = toml.load(text, PORT="9000")
    assert settings.port == 9000
    assert [(one.name, len(one.mailboxes)) for one in settings.pools] == [("shop", 2), ("fabrikam", 1)]
    first, second, other = every(settings)
    assert (first.client_secret, other.tenant_id) == (second.client_secret, "fabrikam.com")
    assert value(other.client_secret) == "fabrikam-client-secret"
    assert (first.connections, second.connections) == (3, 2)
    assert settings.routes.default_sender == "Contoso Shop <orders@contoso.com>"
    assert settings.routes.route(parse_address("billing@fabrikam.com")) == "fabrikam"
