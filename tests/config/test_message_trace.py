"""Settings of what reads Microsoft Graph: its app, with every kind of credential, at top level and in pools."""

from pathlib import Path

import pytest

from app.settings import Settings
from app.settings.message_trace import report_mailboxes, trace_apps
from tests.config.toml_fixture import APP, HIDDEN, ONE, OTHER, SECRET, TENANT, TWO, TomlFixture
from tests.entra import CLIENT, certificate, key_pem, pem

READER = "99c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c01"
LOGIN = 'password = "App Password"\n'
TRACE = f'trace_tenant_id = "{TENANT}"\ntrace_client_id = "{READER}"\ntrace_client_secret = "{SECRET}"\n'


def test_off_by_default(toml: TomlFixture) -> None:
    """Nothing is read, whatever the login is."""
    settings = toml.load(APP + ONE)
    assert not settings.traced
    assert not settings.reported
    assert trace_apps(settings.pools) == []
    assert report_mailboxes(settings.pools) == []


def test_the_app_of_the_mailboxes_reads(toml: TomlFixture) -> None:
    """Without an app of its own; the scope of its tokens is that of Graph."""
    settings = toml.load("trace = true\nndr = true\n" + APP + ONE + TWO)
    (app,) = trace_apps(settings.pools)
    assert (app.tenant, [pool.name for pool in app.pools]) == (TENANT, ["one", "two"])
    assert (app.login.client_id, app.login.token_scope) == (CLIENT, "https://graph.microsoft.com/.default")
    found = report_mailboxes(settings.pools)
    assert [one.mailbox for one in found] == ["one@contoso.com", "two@contoso.com"]
    assert {one.senders for one in found} == {("one@contoso.com", "two@contoso.com")}


@pytest.mark.parametrize("kind", ["secret", "certificate", "federated", "identity"])
@pytest.mark.parametrize("top", [True, False])
def test_every_credential(toml: TomlFixture, tmp_path: Path, kind: str, top: bool) -> None:
    """An app of its own has any credential of a mailbox, at top level or in a pool; the mailbox's is not used."""
    (tmp_path / "app.pem").write_text(pem(certificate()) + key_pem())
    (tmp_path / "token").write_text("token")
    more = {
        "secret": f'trace_client_secret = "{SECRET}"\ntrace_client_secret_next = "{HIDDEN}"\n',
        "certificate": f'trace_client_certificate = "{tmp_path}/app.pem"\n',
        "federated": f'trace_federated_token_file = "{tmp_path}/token"\n',
        "identity": "trace_managed_identity = true\n",
    }[kind]
    app = more if kind == "identity" else f'trace_tenant_id = "{OTHER}"\ntrace_client_id = "{READER}"\n{more}'
    pool = ONE.replace('name = "one"\n', f'name = "one"\n{"" if top else app}')
    settings = toml.load(f"ndr = true\ntrace = true\n{LOGIN}{app if top else ''}{pool}")
    (found,) = report_mailboxes(settings.pools)
    (traced,) = trace_apps(settings.pools)
    assert found.login == traced.login
    login = found.login
    assert (login.password, login.mailbox) == (None, "one@contoso.com")
    given = (login.client_secret, login.client_certificate, login.federated_token_file, login.managed_identity)
    assert [bool(one) for one in given] == [kind == one for one in ("secret", "certificate", "federated", "identity")]
    if kind != "identity":
        assert (login.tenant_id, login.client_id, traced.tenant) == (OTHER, READER, OTHER)
    if kind == "secret":
        assert login.client_secret_next is not None
        assert login.client_secret_next.get_secret_value() == HIDDEN


def test_a_pool_may_differ(toml: TomlFixture, tmp_path: Path) -> None:
    """It may have an app of its own, with a secret from a file, or not be read at all."""
    (tmp_path / "secret").write_text(HIDDEN + "\n")
    own = f'trace_tenant_id = "{OTHER}"\ntrace_client_id = "{READER}"\ntrace_client_secret_file = "{tmp_path}/secret"\n'
    two = TWO.replace('name = "two"\n', f'name = "two"\n{own}trace = false\n')
    settings = toml.load("trace = true\nndr = true\n" + APP + TRACE + ONE + two)
    assert [app.tenant for app in trace_apps(settings.pools)] == [TENANT]
    one, other = report_mailboxes(settings.pools)
    assert (one.login.client_id, other.login.client_id) == (READER, READER)
    assert (one.login.tenant_id, other.login.tenant_id) == (TENANT, OTHER)
    assert other.login.client_secret is not None
    assert other.login.client_secret.get_secret_value() == HIDDEN
    only = toml.load(APP + ONE + TWO.replace('name = "two"\n', 'name = "two"\nndr = true\n'))
    assert [one.mailbox for one in report_mailboxes(only.pools)] == ["two@contoso.com"]
    assert (only.traced, only.reported) == (False, True)


@pytest.mark.parametrize(
    ("cloud", "graph"),
    [
        ("worldwide", "https://graph.microsoft.com"),
        ("gcc-high", "https://graph.microsoft.us"),
        ("dod", "https://dod-graph.microsoft.us"),
    ],
)
def test_a_cloud_gives_the_address_of_graph(toml: TomlFixture, cloud: str, graph: str) -> None:
    settings = toml.load(f'cloud = "{cloud}"\nndr = true\n' + APP + ONE)
    (found,) = report_mailboxes(settings.pools)
    assert (found.login.graph_url, found.login.token_scope) == (graph, f"{graph}/.default")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("trace = true\n" + LOGIN + ONE, "POSTERN_TRACE: is true, and one@contoso.com has no app to read with."),
        ("ndr = true\n" + LOGIN + ONE, "POSTERN_NDR: is true, and one@contoso.com has no app to read with."),
        (
            f'trace = true\ntrace_tenant_id = "{TENANT}"\n{LOGIN}{ONE}',
            "POSTERN_TRACE_CLIENT_SECRET: is missing. Set it, or POSTERN_TRACE_CLIENT_CERTIFICATE,",
        ),
        (
            f'ndr = true\ntrace_client_id = "{READER}"\ntrace_client_secret = "{SECRET}"\n{LOGIN}{ONE}',
            "POSTERN_TRACE_TENANT_ID: is missing.",
        ),
        (
            f"ndr = true\n{LOGIN}{TRACE}trace_managed_identity = true\n{ONE}",
            "POSTERN_TRACE_MANAGED_IDENTITY: is given together with POSTERN_TRACE_CLIENT_SECRET.",
        ),
        (
            "ndr = true\n" + LOGIN + ONE.replace('"one"\n', f'"one"\ntrace_client_secret = "{SECRET}"\n'),
            "pools[0].trace_tenant_id: is missing.",
        ),
        ('trace = true\ncloud = "dod"\n' + APP + ONE, "POSTERN_TRACE: is true, and the cloud dod has no message trace"),
        ('ndr = true\ncloud = "china"\n' + APP + ONE, "POSTERN_NDR: is true, and the cloud china has no delta query"),
        (APP + ONE.replace('"one"\n', '"one"\ntrace_tenant = "x"\n'), "there is no setting trace_tenant."),
    ],
)
def test_wrong_settings(toml: TomlFixture, text: str, line: str) -> None:
    """One line with the setting and the fix, at start."""
    found = toml.refused(text)
    assert line in found
    assert SECRET not in found


def test_what_is_not_read_needs_no_app(toml: TomlFixture) -> None:
    """An incomplete app of a pool that is not read is no error."""
    settings: Settings = toml.load(f'trace_tenant_id = "{TENANT}"\n{LOGIN}{ONE}')
    assert not settings.traced
