"""What all rings share: which of them run only when they are named, and their bounded form."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# They need servers, registries or a long time: `make crash`, `make replicas` and so on name them, or a path in them.
NAMED = ("browser", "crash", "gateway", "observe", "replicas", "sdks")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`: the bounded form."""
    parser.addoption("--quick", action="store_true", help="crash and replicas in their bounded forms (< 90 s each)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave those folders out unless they, or something in them, were named: a run of `tests` does not go there."""
    ring = next((HERE / name for name in NAMED if collection_path.is_relative_to(HERE / name)), None)
    if ring is None:
        return None
    named = (Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(ring) for path in named) else True
