"""README.md names every route, and none that is not there."""

import re
from pathlib import Path

from app.api.unsupported import METHODS
from tests.contract.api.door import Door

README = Path(__file__).parents[3] / "README.md"
ID = "0c6a1b52-0f3b-7c3f-8000-000000000000"


def test_every_route_is_in_the_readme(door: Door) -> None:
    """As its table has them."""
    told = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", README.read_text("utf-8"), re.MULTILINE))
    there = {
        f"{method} {path}"
        for path, methods in door.routes().items()
        for method in methods - {"HEAD"}
        if methods != {*METHODS}
    }
    assert told == there


def test_what_can_be_read_can_be_asked_for_by_head(door: Door) -> None:
    """RFC 9110 §9.3.2: wherever GET is."""
    for path, methods in door.routes().items():
        assert ("GET" in methods) == ("HEAD" in methods), path


def test_a_trailing_slash_changes_nothing(door: Door) -> None:
    """S8, for every route: never a redirect, and the same answer."""
    for path, methods in door.routes().items():
        concrete = re.sub(r"\{[a-z_]+(:path)?\}", ID, path)
        for method in methods - {"HEAD"}:
            plain, slashed = (door.client.request(method, f"{door.url}{p}") for p in (concrete, f"/{concrete}/"))
            assert plain.status_code == slashed.status_code, (method, path)
            assert plain.status_code // 100 in (2, 4), (method, path, plain.text)
