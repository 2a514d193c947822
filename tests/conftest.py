"""Test folders that run only if they are named, the option for their short form, and the profile of Hypothesis,
and what each test sets back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app import logs

HERE = Path(__file__).parent
# They need servers, registries or a long time: `make crash`, `make replicas` and so on name them, or a path in them.
NAMED = ("browser", "crash", "gateway", "observe", "replicas", "sdks")


# A slow machine fails no test, and a run differs from the one before only by the code.
settings.register_profile("postern", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("postern")


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
    if suite is None:
        return None
    named = (Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(suite) for path in named) else True
