"""Tests with Prometheus. They run only if named: `make observe`, or pytest with a path in this folder."""

import pytest

from tests.observe import prometheus


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests if Prometheus is not installed."""
    if prometheus.missing():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="Prometheus is not installed (Debian: apt-get install prometheus)"))
