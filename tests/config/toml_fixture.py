"""Fixture that writes and reads a postern.toml, and parts of one."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, load
from tests.entra import CLIENT

TENANT = "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10"
OTHER = "7d0c2a55-3b1e-4a43-8f6a-2b9d6c1e4f02"
SECRET = "made-up~client.secret"
HIDDEN = "a-secret-of-this-test"
APP = f'tenant_id = "{TENANT}"\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
ONE = '[[pools]]\nname = "one"\n[[pools.mailboxes]]\nmailbox = "one@contoso.com"\n'
TWO = '[[pools]]\nname = "two"\n[[pools.mailboxes]]\nmailbox = "two@contoso.com"\n'


@dataclass(frozen=True, slots=True)
class TomlFixture:
    """Folder in which a postern.toml is written and read."""

    path: Path
    patch: pytest.MonkeyPatch = field(repr=False)

    def load(self, text: str, **variables: str) -> Settings:
        """Return the settings of this file and these variables."""
        self.path.write_text(text)
        self.patch.setenv("POSTERN_CONFIG", str(self.path))
        for name, value in variables.items():
            self.patch.setenv(f"POSTERN_{name}", value)
        return load(Settings)

    def refused(self, text: str, **variables: str) -> str:
        """Return the line that stops the start, with the path of the file replaced by postern.toml."""
        with pytest.raises(SettingsError) as raised:
            self.load(text, **variables)
        return str(raised.value).replace(str(self.path), "postern.toml")


def pool(name: str, *mailboxes: str, more: str = "") -> str:
    """Return a pool in TOML; each mailbox is the rest of a line after its name."""
    rows = "".join(f"[[pools.mailboxes]]\nmailbox = {one}\n" for one in mailboxes)
    return f'[[pools]]\nname = "{name}"\n{more}\n{rows}'


def mailbox(more: str) -> str:
    """Return one pool of one mailbox with these lines."""
    return f"{ONE}{more}\n"
