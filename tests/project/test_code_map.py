"""The code map of docs/architecture.md: every package, with its question, entry points and import rule as they are."""

import ast
import importlib
import re
import tomllib
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
LAYERS = [
    [layer.split(" | ") for layer in contract["layers"]]
    for contract in SETTINGS["contracts"]
    if contract["type"] == "layers"
]
[PURE] = [
    contract["source_modules"]
    for contract in SETTINGS["contracts"]
    if contract["name"] == "Pure packages do not import Django"
]
MAP = (ROOT / "docs" / "architecture.md").read_text().partition("## Code map")[2]
ROWS = {
    package: (question, re.findall(r"`([^`]+)`", entry_points), may_import)
    for package, question, entry_points, may_import in re.findall(
        r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+?) \|$", MAP, re.MULTILINE
    )
}
NOT_MAPPED = {"migrations", "management"}  # Django's folders; `management.commands` is in the map


def packages() -> set[str]:
    """Return the dotted names of all packages of the product."""
    return {
        ".".join(found.parent.relative_to(ROOT).parts)
        for top in SETTINGS["root_packages"]
        for found in (ROOT / top).rglob("__init__.py")
        if found.parent.name not in NOT_MAPPED
    }


def test_the_map_lists_exactly_the_packages() -> None:
    assert set(ROWS) == packages()


@pytest.mark.parametrize("package", ROWS)
def test_a_row_repeats_the_question_of_its_package(package: str) -> None:
    text = ROOT.joinpath(*package.split("."), "__init__.py").read_text()
    stated = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    assert ROWS[package][0] == " ".join(stated.split())


@pytest.mark.parametrize("package", ROWS)
def test_the_entry_points_of_a_row_exist(package: str) -> None:
    entry_points = ROWS[package][1]
    assert entry_points
    for entry_point in entry_points:
        assert exists(f"{package}.{entry_point}"), entry_point


@pytest.mark.parametrize("package", ROWS)
def test_a_row_lists_the_imports_that_the_contracts_allow(package: str) -> None:
    assert ROWS[package][2] == import_rule(package)


def import_rule(package: str) -> str:
    """Return the import rule of a package as the map words it."""
    is_top_level = "." not in package
    rule = "nothing of ours" if is_top_level else "as its parent"
    for layers in LAYERS:
        for number, layer in enumerate(layers):
            if package in layer:
                below = layers[number + 1] if number + 1 < len(layers) else []
                names = ", ".join(f"`{module.rpartition('.')[2]}`" for module in below)
                nothing = "nothing of ours" if is_top_level else "none of its neighbours"
                rule = f"{names} and below" if number + 2 < len(layers) else names or nothing
    is_pure = any(package == module or package.startswith(f"{module}.") for module in PURE)
    return f"{rule}; no Django" if is_pure else rule


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    with suppress(ModuleNotFoundError):
        if find_spec(name) is not None:
            return True  # not imported: some modules do work when they are
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module), attribute)
