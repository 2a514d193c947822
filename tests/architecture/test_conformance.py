"""Every conformance case of the HTTP API has a test that is named after it and uses a real socket."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CASES = re.findall(r"^([A-Z]\d+) ", (TESTS / "architecture" / "conformance.txt").read_text("utf-8"), re.MULTILINE)
NAMED = re.compile(r"test_((?:[a-z]\d+_)+)")
SOCKETS = {"ApiServer", "Harness", "Open", "open_server"}  # names that give a test a listening Postern


@cache
def named() -> dict[str, list[set[str]]]:
    """Return for each case the names that occur in each test named after it."""
    found: dict[str, list[set[str]]] = defaultdict(list)
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (name := NAMED.match(node.name)):
                for case in name[1].upper().strip("_").split("_"):
                    found[case].append({part.id for part in ast.walk(node) if isinstance(part, ast.Name)})
    return found


def test_the_cases_are_all_there() -> None:
    """Nine groups without gaps."""
    groups: dict[str, list[int]] = defaultdict(list)
    for case in CASES:
        groups[case[0]].append(int(case[1:]))
    assert {group: len(numbers) for group, numbers in groups.items()} == {
        "A": 4, "S": 20, "T": 10, "I": 8, "B": 8, "C": 7, "R": 5, "E": 7, "W": 5,
    }  # fmt: skip
    assert all(numbers == [*range(1, len(numbers) + 1)] for numbers in groups.values())


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_a_test(case: str) -> None:
    """At least one test uses a socket."""
    assert [words for words in named()[case] if words & SOCKETS]
