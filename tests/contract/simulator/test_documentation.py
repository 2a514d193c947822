"""Examples of deploy/docs/simulator.md."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from app.simulator import Drop, Point, Say, load_faults

TEXT = (Path(__file__).parents[3] / "deploy/docs/simulator.md").read_text("utf-8")


def examples(language: str) -> list[str]:
    """Return the examples in this language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_fault_script(tmp_path: Path) -> None:
    """The fault script is valid and has the described effects."""
    (tmp_path / "faults.toml").write_text(examples("toml")[0], "utf-8")
    named, dropped, timed_out = load_faults(tmp_path / "faults.toml")
    assert (named.at, named.times, named.name) == (Point.DOT, 2, "concurrent_connections")
    assert (dropped.at, dropped.nth, dropped.do) == (Point.ACCEPTED, 3, Drop())
    assert (timed_out.at, timed_out.every) == (Point.MAIL, 10)
    assert timed_out.do == Say("421 4.4.1 Connection timed out", close=True)


def test_the_plugin_of_pytest(tmp_path: Path) -> None:
    """The tests of the example pass in a pytest that has no other configuration; a wrong fault is refused."""
    wrong = """
        import pytest

        def test_a_wrong_fault(office365):
            with pytest.raises(ValueError, match="no_such_fault"):
                office365.fail(named="no_such_fault")
            assert office365.wait_for(0) == []
    """
    (tmp_path / "test_example.py").write_text(examples("python")[0] + dedent(wrong), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


async def test_the_python_test() -> None:
    """The example passes."""
    names: dict[str, object] = {}
    exec(compile(examples("python")[1], "simulator.md", "exec"), names)
    test = names["test_a_full_mailbox"]
    assert callable(test)
    await test()
