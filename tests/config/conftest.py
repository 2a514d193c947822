"""Every test begins without settings in the environment and with an empty folder for its postern.toml."""

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
