"""Examples of deploy/docs/simulator.md."""

import re
from pathlib import Path

from app.simulator import Drop, Point, Say, load_faults

TEXT = (Path(__file__).parents[3] / "deploy/docs/simulator.md").read_text("utf-8")


def example(language: str) -> str:
    """Return the example in this language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(block)


def test_the_fault_script(tmp_path: Path) -> None:
    """The fault script is valid and has the described effects."""
    (tmp_path / "faults.toml").write_text(example("toml"), "utf-8")
    named, dropped, timed_out = load_faults(tmp_path / "faults.toml")
    assert (named.at, named.times, named.name) == (Point.DOT, 2, "concurrent_connections")
    assert (dropped.at, dropped.nth, dropped.do) == (Point.ACCEPTED, 3, Drop())
    assert (timed_out.at, timed_out.every) == (Point.MAIL, 10)
    assert timed_out.do == Say("421 4.4.1 Connection timed out", close=True)


async def test_the_python_test() -> None:
    """The example passes."""
    names: dict[str, object] = {}
    exec(compile(example("python"), "simulator.md", "exec"), names)
    test = names["test_a_full_mailbox"]
    assert callable(test)
    await test()
