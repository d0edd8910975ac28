"""Tests are found by the name of their module: small packages, and no test module that others import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[2]
MAX_MODULES = 14
IMPORTS_TESTS = re.compile(r"^\s*(from|import)\b.*\btest_|^\s+test_\w+,?$", re.MULTILINE)
TOP_LEVEL = sorted(found.parent.name for found in ROOT.glob("*/__init__.py"))


def packages(top: Path) -> Iterator[Path]:
    """Yield the folder and every folder below it that holds modules, without migrations."""
    yield from sorted(
        {
            module.parent
            for module in top.rglob("*.py")
            if module.parent.name not in ("migrations", "__pycache__")
        }
    )


def modules(package: Path) -> list[str]:
    """Return the names of the modules of this folder alone."""
    return sorted(module.stem for module in package.glob("*.py") if module.stem != "__init__")


def imported_tests(module: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever it does, if it may import a test module."""
    text = module.read_text("utf-8")
    # Parsing all of them takes long.
    if not IMPORTS_TESTS.search(text):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_test_module_is_imported() -> None:
    test_modules = {
        ".".join(module.relative_to(ROOT).with_suffix("").parts): module
        for module in (ROOT / "tests").rglob("test_*.py")
    }
    used = {
        f"{module.relative_to(ROOT)} imports {name}"
        for module in (ROOT / "tests").rglob("*.py")
        for name in imported_tests(module)
        if name in test_modules or name.rpartition(".")[0] in test_modules
    }
    assert used == set()


def test_only_test_modules_mark_tests_for_make_slow_and_make_faults() -> None:
    """`make slow` and `make faults` collect only the test modules in whose text they find the mark."""
    marks = re.compile(r"mark\.(slow|faults)\b|add_marker\(['\"](slow|faults)\b")
    hidden = [
        str(module.relative_to(ROOT))
        for module in (ROOT / "tests").rglob("*.py")
        if not module.name.startswith("test_") and marks.search(module.read_text("utf-8"))
    ]
    assert hidden == []


@pytest.mark.parametrize("top", TOP_LEVEL)
def test_a_package_has_a_limited_number_of_modules(top: str) -> None:
    large = {
        str(package.relative_to(ROOT)): len(modules(package))
        for package in packages(ROOT / top)
        if len(modules(package)) > MAX_MODULES
    }
    assert large == {}


def test_every_test_package_has_a_docstring() -> None:
    silent = [
        str(package.relative_to(ROOT))
        for package in packages(ROOT / "tests")
        if package.name != "startup"  # put on the path of other processes, not imported
        and not ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8")))
    ]
    assert silent == []
