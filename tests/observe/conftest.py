"""The ring runs only when it is named: `make observe`, or pytest with a path in here. It needs Prometheus."""

from pathlib import Path

import pytest

from tests.observe import prometheus

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out unless it, or something in it, was named."""
    named = (Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(HERE) for path in named) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Prometheus there is nothing to see."""
    if prometheus.missing():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="Prometheus is not installed (Debian: apt-get install prometheus)"))
