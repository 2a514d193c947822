"""The ring runs only when it is named: `make observe`, or pytest with a path in here. It needs Prometheus."""

import pytest

from tests.observe import prometheus


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Prometheus there is nothing to see."""
    if prometheus.missing():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="Prometheus is not installed (Debian: apt-get install prometheus)"))
