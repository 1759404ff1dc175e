"""Files and functions stay small enough to read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES = 300
FUNCTION_LINES = 60  # none is longer
USUAL_LINES = 40  # nine of ten are not longer
NESTING = 4  # blocks inside a function, none deeper; aim at 3
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)


def python_files() -> list[Path]:
    return sorted((ROOT / "tinyclip").rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def lines(node: ast.FunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def depth(node: ast.AST) -> int:
    """How many blocks lie inside each other; `elif` is no deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue
        elif_ = isinstance(node, ast.If) and node.orelse == [child]
        own = int(isinstance(child, BLOCKS) and not elif_)
        deepest = max(deepest, own + depth(child))
    return deepest


def test_no_file_is_longer_than_300_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in python_files()
        if (count := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    found = [pair for path in python_files() for pair in functions(path)]
    long = {name: lines(node) for name, node in found if lines(node) > FUNCTION_LINES}
    assert not long


def test_nine_functions_of_ten_have_at_most_40_lines() -> None:
    found = [pair for path in python_files() for pair in functions(path)]
    long = {name: lines(node) for name, node in found if lines(node) > USUAL_LINES}
    assert len(long) <= 0.1 * len(found), long


def test_no_block_lies_deeper_than_four() -> None:
    found = [pair for path in python_files() for pair in functions(path)]
    deep = {name: depth(node) for name, node in found if depth(node) > NESTING}
    assert not deep


def test_depth_counts_blocks_and_not_elif() -> None:
    text = (
        "def f():\n if a:\n  pass\n elif b:\n  for c in d:\n   pass\n elif e:\n  pass"
    )
    node = ast.parse(text).body[0]
    assert depth(node) == 2
