"""Every mistake with several mailboxes gives one line: the place in the file, the fault and the fix."""

from pathlib import Path

import pytest

from app.settings import SettingsError
from tests.config.toml_fixture import APP, HIDDEN, ONE, OTHER, TENANT, TWO, TomlFixture, mailbox, pool
from tests.entra import CLIENT, certificate, pfx

FIRST = "postern.toml: pools[0].mailboxes[0]"
A_NAME = "Give 1 to 63 lower-case letters, digits, _ or -, beginning with a letter or digit, such as billing."
A_TABLE = "Write [[pools]] for each pool and [[pools.mailboxes]] for each of its mailboxes."
OVERVIEW = "of the app's Overview at https://entra.microsoft.com."

WRONG = {
    "mailbox and pools": (
        'mailbox = "a@contoso.com"\n' + APP + ONE,
        "POSTERN_MAILBOX: is given together with [[pools]]. "
        "Move it into a pool, or take [[pools]] out of postern.toml.",
    ),
    "senders and pools": (
        'senders = "*"\n' + APP + ONE,
        "POSTERN_SENDERS: is given together with [[pools]]. "
        "Move it into a pool, or take [[pools]] out of postern.toml.",
    ),
    "default sender and pools": (
        'default_sender = "a@contoso.com"\n' + APP + ONE,
        "POSTERN_DEFAULT_SENDER: is given together with [[pools]]. "
        "Move it into a pool, or take [[pools]] out of postern.toml.",
    ),
    "pools are no tables": ('pools = "shop"\n', f"postern.toml: pools: 'shop' is not a table. {A_TABLE}"),
    "a pool is no table": ('pools = ["shop"]\n', f"postern.toml: pools[0]: is not a table. {A_TABLE}"),
    "a mailbox is no table": (
        f'[[pools]]\nname = "a"\nmailboxes = ["{HIDDEN}"]\n',
        f"{FIRST}: is not a table. {A_TABLE}",
    ),
    "no name": (
        ONE.replace('name = "one"', ""),
        'postern.toml: pools[0].name: is missing. Give the pool a name such as "billing".',
    ),
    "wrong name": (
        ONE.replace('"one"', '"Our Shop"'),
        f"postern.toml: pools[0].name: 'Our Shop' is not a valid pool name. {A_NAME}",
    ),
    "number for a name": (
        ONE.replace('"one"', "1"),
        "postern.toml: pools[0].name: 1 is not text. Put it between quotation marks.",
    ),
    "the same name twice": (
        APP + ONE + TWO.replace('"two"', '"one"'),
        "postern.toml: pools[1].name: 'one' is also in pools[0].name. Give each pool a name of its own.",
    ),
    "no mailboxes": (
        '[[pools]]\nname = "a"\n',
        "postern.toml: pools[0].mailboxes: is missing. Give the pool at least one mailbox under [[pools.mailboxes]].",
    ),
    "empty mailboxes": (
        '[[pools]]\nname = "a"\nmailboxes = []\n',
        "postern.toml: pools[0].mailboxes: is empty. Give the pool at least one mailbox under [[pools.mailboxes]].",
    ),
    "no mailbox": (
        '[[pools]]\nname = "a"\n[[pools.mailboxes]]\npassword = "x"\n',
        f"{FIRST}.mailbox: is missing. Set it, for example to noreply@contoso.com.",
    ),
    "no address": (
        pool("a", '"noreply"'),
        f"{FIRST}.mailbox: 'noreply' is not an email address. Give one such as noreply@contoso.com.",
    ),
    "a wildcard in a mailbox": (
        pool("a", '"shop-*@contoso.com"'),
        f"{FIRST}.mailbox: 'shop-*@contoso.com' is not an email address. Give one such as noreply@contoso.com.",
    ),
    "the same mailbox twice": (
        APP + pool("a", '"a@contoso.com"', '"b@contoso.com"') + pool("b", '"B@Contoso.com"'),
        "postern.toml: pools[1].mailboxes[0].mailbox: 'b@contoso.com' is also in pools[0].mailboxes[1].mailbox. "
        "A mailbox is in one pool, and once: take it out of one of the two places.",
    ),
    "the same sender twice": (
        APP
        + pool("a", '"a@contoso.com"', more='senders = "*@bücher.example"')
        + pool("b", '"b@contoso.com"', more='senders = ["b@contoso.com", "*@XN--bcher-kva.example"]'),
        "postern.toml: pools[1].senders: '*@xn--bcher-kva.example' is also in pools[0].senders. "
        "A sender has one pool: take it out of one of the two, or give a pattern that is more specific.",
    ),
    "a mailbox of another pool as a sender": (
        APP + ONE + pool("b", '"b@contoso.com"', more='senders = "one@contoso.com"'),
        "postern.toml: pools[1].senders: 'one@contoso.com' is also in pools[0].senders. "
        "A sender has one pool: take it out of one of the two, or give a pattern that is more specific.",
    ),
    "a pattern of another kind": (
        pool("a", '"a@contoso.com"', more='senders = ["shop-*@contoso.com"]'),
        "postern.toml: pools[0].senders: has an invalid sender pattern: 'shop-*@contoso.com', "
        "a wildcard stands for the whole local part or for all subdomains. "
        "Give an address, *@contoso.com, *@*.contoso.com or * alone.",
    ),
    "senders that are no list": (
        pool("a", '"a@contoso.com"', more="senders = 5"),
        "postern.toml: pools[0].senders: 5 is not a list of senders. "
        'Give patterns such as ["*@contoso.com", "invoices@contoso.com"].',
    ),
    "a default sender of nobody": (
        APP + pool("a", '"a@contoso.com"', more='default_sender = "Shop <shop@contoso.com>"'),
        "postern.toml: pools[0].default_sender: 'Shop <shop@contoso.com>' is not a sender of this pool. "
        "Add it to pools[0].senders, or give one of these.",
    ),
    "a default sender of another pool": (
        APP + pool("a", '"a@contoso.com"', more='senders = "*"\ndefault_sender = "two@contoso.com"') + TWO,
        "postern.toml: pools[0].default_sender: 'two@contoso.com' is not a sender of this pool. "
        "Add it to pools[0].senders, or give one of these.",
    ),
    "a typing error in a pool": (
        ONE.replace("name", "nmae"),
        "postern.toml: pools[0]: there is no setting nmae. Did you mean name?",
    ),
    "a typing error in a mailbox": (
        mailbox(f'pasword = "{HIDDEN}"'),
        f"{FIRST}: there is no setting pasword. Did you mean password?",
    ),
    "a setting of the service in a mailbox": (
        mailbox("port = 25"),
        f"{FIRST}: there is no setting port. Did you mean smtp_port?",
    ),
    "a variable for the pools": (
        ONE,
        "POSTERN_POOLS: pools have tables. Write [[pools]] into postern.toml, named by POSTERN_CONFIG.",
    ),
    "no login at all": (
        ONE,
        f"{FIRST}.password: is missing. Set it to the mailbox's password or App Password, "
        "or set tenant_id, client_id and client_secret for OAuth 2.0.",
    ),
    "an app without its secret": (
        f'tenant_id = "{TENANT}"\n' + mailbox(f'client_id = "{CLIENT}"'),
        f"{FIRST}.client_secret: is missing. "
        "Set it, or client_certificate, federated_token_file or managed_identity=true.",
    ),
    "two logins": (
        mailbox(f'password = "{HIDDEN}"\nclient_secret = "{HIDDEN}"'),
        f"{FIRST}.client_secret: is given together with password. Keep one of them.",
    ),
    "an app beside the password from above": (
        f'password = "{HIDDEN}"\n' + mailbox(f'client_id = "{CLIENT}"'),
        f"{FIRST}.client_id: is given together with POSTERN_PASSWORD. Keep one of them.",
    ),
    "no tenant": (
        mailbox(f'client_id = "{CLIENT}"\nclient_secret = "{HIDDEN}"'),
        f"{FIRST}.tenant_id: is missing. Set it to the Directory (tenant) ID {OVERVIEW}",
    ),
    "another app with the secret from above": (
        APP + TWO + ONE + f'client_id = "{OTHER}"\n',
        "postern.toml: pools[1].mailboxes[0].client_id: is another app than that of POSTERN_CLIENT_SECRET. "
        "Give the client_secret of this app beside it.",
    ),
    "what belongs to another login": (
        APP + mailbox(f'client_certificate_password = "{HIDDEN}"'),
        f"{FIRST}.client_certificate_password: is given without client_certificate. "
        "Set that one too, or take this one out.",
    ),
    "a wrong client id": (
        mailbox('client_id = "Postern"'),
        f"{FIRST}.client_id: 'Postern' is no id. Give the Application (client) ID {OVERVIEW}",
    ),
    "a wrong client id above": (
        'client_id = "Postern"\n' + ONE,
        f"POSTERN_CLIENT_ID: 'Postern' is no id. Give the Application (client) ID {OVERVIEW}",
    ),
    "the id of a secret": (
        mailbox(f'client_secret = "{OTHER}"'),
        f"{FIRST}.client_secret: is the secret's id. Give its Value, which is shown only once, when it is made.",
    ),
    "a secret that is no text": (
        mailbox("password = 12345678"),
        f"{FIRST}.password: is not text. Put it between quotation marks.",
    ),
    "a secret twice": (
        mailbox(f'password = "{HIDDEN}"\npassword_file = "/nowhere/secret"'),
        f"{FIRST}.password: is given twice, also as password_file. Keep one of them.",
    ),
    "a secret file that is not there": (
        mailbox('password_file = "/nowhere/secret"'),
        f"{FIRST}.password_file: '/nowhere/secret' cannot be read: No such file or directory. Mount the secret there.",
    ),
    "an empty secret file": (
        mailbox('client_secret_file = "/dev/null"'),
        f"{FIRST}.client_secret_file: '/dev/null' is empty. Put the secret into it.",
    ),
    "port 465": (
        mailbox("smtp_port = 465"),
        f"{FIRST}.smtp_port: 465 is implicit TLS (SSL), which Office 365 does not offer. "
        "It offers STARTTLS on 587 only: give 587.",
    ),
    "no connections": (mailbox("connections = 0"), f"{FIRST}.connections: 0 is too small. Give 1 or more."),
    "all connections for urgent mail": (
        APP + mailbox("urgent_connections = 3"),
        f"{FIRST}.urgent_connections: 3 leaves none of the 3 connections of one@contoso.com for other mail. "
        "Give 2 or less, or more connections.",
    ),
    "all its connections for urgent mail, from above": (
        "urgent_connections = 2\n" + APP + TWO + mailbox("connections = 2"),
        "POSTERN_URGENT_CONNECTIONS: 2 leaves none of the 2 connections of one@contoso.com for other mail. "
        "Give 1 or less, or more connections.",
    ),
    "no budget": (
        "tenant_recipients_per_day = 0\n" + ONE,
        "POSTERN_TENANT_RECIPIENTS_PER_DAY: 0 is too small. Give 1 or more.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_gives_one_line(toml: TomlFixture, name: str) -> None:
    """The whole line is compared, because operators act on it. It has no secret."""
    text, line = WRONG[name]
    variables = {"POOLS": "[]"} if name == "a variable for the pools" else {}
    assert toml.refused(text, **variables) == line
    assert HIDDEN not in line


ONE_MAILBOX = {
    "a default sender of nobody": (
        {"DEFAULT_SENDER": "Shop <shop@contoso.com>"},
        "POSTERN_DEFAULT_SENDER: 'Shop <shop@contoso.com>' is not among the senders. "
        "Add it to POSTERN_SENDERS, or give one of these.",
    ),
    "all connections for urgent mail": (
        {"CONNECTIONS": "2", "URGENT_CONNECTIONS": "2"},
        "POSTERN_URGENT_CONNECTIONS: 2 leaves none of the 2 connections of noreply@contoso.com for other mail. "
        "Give 1 or less, or more connections.",
    ),
    "a budget in words": (
        {"TENANT_RECIPIENTS_PER_DAY": "all"},
        "POSTERN_TENANT_RECIPIENTS_PER_DAY: 'all' is not a whole number. Give digits only.",
    ),
}


@pytest.mark.parametrize("name", ONE_MAILBOX)
def test_one_mailbox_is_named_by_its_variables(toml: TomlFixture, name: str) -> None:
    """The same rules, with the names of the environment."""
    variables, line = ONE_MAILBOX[name]
    assert toml.refused("", MAILBOX="noreply@contoso.com", PASSWORD="x", **variables) == line


def test_a_certificate_that_does_not_open_is_reported_at_its_table(toml: TomlFixture, tmp_path: Path) -> None:
    """In the mailbox's table or above it."""
    (tmp_path / "app.pfx").write_bytes(pfx(certificate(), password="open"))
    ids = f'tenant_id = "{TENANT}"\nclient_id = "{CLIENT}"\n'
    lines = f'client_certificate = "{tmp_path}/app.pfx"\nclient_certificate_password = "{HIDDEN}"\n'
    for text, place in (
        (ids + TWO + ONE + lines, f"{FIRST}.client_certificate".replace("[0].m", "[1].m")),
        (ids + lines + ONE, "POSTERN_CLIENT_CERTIFICATE"),
    ):
        line = toml.refused(text.replace(TWO, TWO + 'password = "x"\n'))
        assert line.startswith(f"{place}: '{tmp_path}/app.pfx' does not open with that password")
        assert HIDDEN not in line


def test_a_mailbox_in_the_environment_beside_pools_is_refused(toml: TomlFixture) -> None:
    """The usual left-over after the second mailbox was added."""
    line = toml.refused(APP + ONE, MAILBOX="noreply@contoso.com")
    assert line.startswith("POSTERN_MAILBOX: is given together with [[pools]].")


def test_a_secret_in_the_place_of_a_table_is_not_shown(toml: TomlFixture) -> None:
    """For every malformed structure."""
    for text in (f'pools = [["{HIDDEN}"]]', f'[[pools]]\nname = "a"\n[pools.mailboxes]\npassword = "{HIDDEN}"\n'):
        with pytest.raises(SettingsError) as raised:
            toml.load(text)
        assert HIDDEN not in str(raised.value)
        assert "is not a table" in str(raised.value)
