"""Test folders that run only if they are named, the option for their short form, the tests that run without a gateway
alone, the profile of Hypothesis, the authorities that clients trust, and what each test sets back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, settings

from app import logs
from tests.gateway.gateways import requested

HERE = Path(__file__).parent
# They need servers, registries or a long time: `make crash`, `make replicas` and so on name them, or a path in them.
NAMED = ("browser", "crash", "gateway", "observe", "replicas", "sdks")


# A slow machine fails no test, and a run differs from the one before only by the code.
settings.register_profile("postern", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("postern")


@pytest.fixture(scope="session", autouse=True)
def _authority(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    """Let clients trust one authority in place of those of the machine, which each would read for up to 0.3 s."""
    if not _is_named(pytestconfig, HERE / "sdks"):  # pip downloads them
        file = tmp_path_factory.mktemp("authority") / "ca.pem"
        trustme.CA().cert_pem.write_to_path(file)
        os.environ["SSL_CERT_FILE"] = str(file)


@pytest.fixture(autouse=True)
def _default_log() -> Iterator[None]:
    """Set the log back after a test: a command that runs in this process sets its level."""
    yield
    logs.configure(human=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`, the short form."""
    parser.addoption("--quick", action="store_true", help="crash and replicas in their bounded forms (< 90 s each)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore those folders unless one of them, or a path in it, was named."""
    suite = next((HERE / name for name in NAMED if collection_path.is_relative_to(HERE / name)), None)
    return None if suite is None or _is_named(config, suite) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that are marked as direct if GATEWAY is set."""
    kind = requested()
    for item in items:
        if kind is not None and (mark := item.get_closest_marker("direct")):
            why, *kinds = mark.args
            if not kinds or kind in kinds:
                item.add_marker(pytest.mark.skip(reason=f"{kind}: {why}"))


def _is_named(config: pytest.Config, suite: Path) -> bool:
    """Return whether the folder, or a path in it, was named."""
    named = (Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args)
    return any(path.is_relative_to(suite) for path in named)
