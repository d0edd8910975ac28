"""The scripts in an export run on Python 3.9, as they say, although the hub needs a newer one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.export import verify
from exports.bundle.shipped import check_rows

pytestmark = pytest.mark.pure

SCRIPTS = {"verify.py": Path(verify.__file__), "check_rows.py": Path(check_rows.__file__)}


def evaluated_unions(source: str) -> list[int]:
    """Return the lines of annotations with `|` that Python 3.9 would evaluate, which fails. SyntaxError for newer syntax."""
    tree = ast.parse(source, feature_version=(3, 9))
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        return []
    return [node.lineno for annotation in annotations(tree) for node in unions(annotation)]


def annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation


def unions(annotation: ast.expr) -> Iterator[ast.BinOp]:
    return (node for node in ast.walk(annotation) if isinstance(node, ast.BinOp))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_needs_no_newer_python(name: str) -> None:
    assert evaluated_unions(SCRIPTS[name].read_text("utf-8")) == []
