"""Every conformance case of the HTTP API is a test by its name, and talks to Postern through a real socket."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CASES = re.findall(r"^([A-Z]\d+) ", (TESTS / "architecture" / "conformance.txt").read_text("utf-8"), re.MULTILINE)
NAMED = re.compile(r"test_((?:[a-z]\d+_)+)")
SOCKETS = {"ApiServer", "Harness", "Open", "open_server"}  # by which a test has a Postern that listens


@cache
def named() -> dict[str, list[set[str]]]:
    """By case, the words of each test that is named by it."""
    found: dict[str, list[set[str]]] = defaultdict(list)
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (name := NAMED.match(node.name)):
                for case in name[1].upper().strip("_").split("_"):
                    found[case].append({part.id for part in ast.walk(node) if isinstance(part, ast.Name)})
    return found


def test_the_cases_are_all_there() -> None:
    """Nine groups, none of them with a gap."""
    groups: dict[str, list[int]] = defaultdict(list)
    for case in CASES:
        groups[case[0]].append(int(case[1:]))
    assert {group: len(numbers) for group, numbers in groups.items()} == {
        "A": 4, "S": 20, "T": 10, "I": 8, "B": 8, "C": 7, "R": 5, "E": 7, "W": 5,
    }  # fmt: skip
    assert all(numbers == [*range(1, len(numbers) + 1)] for numbers in groups.values())


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_a_test(case: str) -> None:
    """At least one that goes through a socket."""
    assert [words for words in named()[case] if words & SOCKETS]
