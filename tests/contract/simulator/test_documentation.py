"""Examples of deploy/docs/simulator.md."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
import yaml

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
    exec(compile(examples("python")[2], "simulator.md", "exec"), names)
    test = names["test_a_full_mailbox"]
    assert callable(test)
    await test()


def test_the_commands_of_the_containers(tmp_path: Path) -> None:
    """All recipes start the same servers; with free ports on this machine, they answer with the key of the recipe."""
    compose, actions = (yaml.safe_load(text) for text in examples("yaml"))
    (_, _, run), _ = (line.partition(" postern ") for line in actions[0]["run"].splitlines())
    command = compose["services"]["postern"]["command"]
    assert run == command.replace("--host 0.0.0.0 ", "")
    assert f'"{command}"' in examples("python")[1]
    assert f'"{command}"' in examples("js")[0]
    compile(examples("python")[1], "simulator.md", "exec")
    options = command.replace("0.0.0.0", "127.0.0.1").replace("8026", "0").split()
    line = [sys.executable, "-m", "app", *options, "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            demo = json.loads(next(iter(process.stdout or ())))
            key = {"authorization": "Bearer a-key-for-tests-alone"}
            with httpx.Client(timeout=20, trust_env=False) as client:
                assert client.get(f"{demo['url']}/readyz").status_code == 200
                assert client.get(f"{demo['url']}/emails", headers=key).json()["data"] == []
                assert client.post(f"{demo['simulator']}/faults", json={"named": "quota"}).status_code == 201
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_recipe_for_node_can_be_parsed(tmp_path: Path) -> None:
    """Testcontainers itself needs a container engine."""
    (tmp_path / "recipe.mjs").write_text(examples("js")[0], "utf-8")
    subprocess.run(["node", "--check", "recipe.mjs"], cwd=tmp_path, check=True)
