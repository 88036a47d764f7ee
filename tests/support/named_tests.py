"""Names of test functions, for tables that name them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path


def names_of_tests(paths: Iterable[Path]) -> list[str]:
    """Return the names of the test functions at the top of modules; one that stands in two of them is there twice."""
    trees = [ast.parse(path.read_text()) for path in paths]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if node.name.startswith("test_")]
