"""The shape of the code: small files, short functions, a sentence at the head of each, nothing left undone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
MODULES = sorted(APP.rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(APP)))
def test_a_module_is_small_and_says_what_it_owns(path: Path) -> None:
    """At most 400 lines, functions of at most 40, a docstring on the module and on whatever is public."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    assert source.count("\n") <= 400
    assert ast.get_docstring(tree)
    for function in functions(tree):
        assert (function.end_lineno or 0) - function.lineno < 40, function.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name in ("upgrade", "downgrade"), node.name


def test_the_median_function_is_short() -> None:
    """Most functions can be read at a glance (style of the model codebases: 5 to 8 lines)."""
    lengths = sorted(
        len(node.body) and (node.end_lineno or 0) - node.body[0].lineno + 1
        for path in MODULES
        for node in functions(ast.parse(path.read_text("utf-8")))
    )
    assert lengths[len(lengths) // 2] <= 10


def test_nothing_is_left_undone() -> None:
    """No marks of unfinished work."""
    marks = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error")
    assert not [path for path in MODULES for mark in marks if mark in path.read_text("utf-8")]
