"""Every case begins with an environment without settings, and with an empty desk."""

import os
from pathlib import Path

import pytest

from tests.config.toml_fixture import TomlFixture


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("POSTERN_"):
            monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TomlFixture:
    return TomlFixture(tmp_path / "postern.toml", monkeypatch)
