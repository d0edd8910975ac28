"""Every forbidden import breaks its contract: each is planted into a copy of the sources."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["name"]: contract for contract in SETTINGS["contracts"]}
LINT = Path(sys.executable).parent / "lint-imports"
Plant = tuple[str, str]  # the module that imports, and what it may not import


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources, to plant imports in."""
    folder = tmp_path_factory.mktemp("tree")
    for package in SETTINGS["root_packages"]:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "static")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_unchanged_sources_keep_every_contract(tree: Path) -> None:
    assert lint(tree) == {name: set() for name in CONTRACTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRACTS)
def test_each_forbidden_import_breaks_its_contract(tree: Path, name: str) -> None:
    plants = set(forbidden_imports(CONTRACTS[name]))
    assert plants
    assert plants - planted(tree, plants)[name] == set()


@pytest.mark.parametrize(
    "plant", [("database.values", "audit.format"), ("sync.connectors.client", "urllib3")], ids=str
)
def test_a_planted_import_is_reported_by_its_name(tree: Path, plant: Plant) -> None:
    found = {name: imports for name, imports in planted(tree, {plant}).items() if imports}
    assert len(found) == 1
    [imports] = found.values()
    assert {(importer.partition(".")[0], imported) for importer, imported in imports} == {
        (plant[0].partition(".")[0], plant[1].partition(".")[0])
    }


def forbidden_imports(contract: dict[str, Any]) -> Iterator[Plant]:
    """Yield every pair of modules of a contract of which the first may not import the second."""
    if contract["type"] == "forbidden":
        for importer in contract["source_modules"]:
            yield from ((importer, imported) for imported in contract["forbidden_modules"])
        return
    layers = [layer.split(" | ") for layer in contract["layers"]]
    for number, layer in enumerate(layers):
        yield from permutations(layer, 2)
        for lower in layers[number + 1 :]:
            yield from ((importer, imported) for importer in lower for imported in layer)


def planted(tree: Path, plants: set[Plant]) -> dict[str, set[Plant]]:
    """Return what is reported of each contract while these imports stand in the tree."""
    honest: dict[Path, str] = {}
    for importer, imported in sorted(plants):
        file = file_of(tree, importer)
        honest.setdefault(file, file.read_text())
        with file.open("a") as sources:
            sources.write(f"\nimport {imported}\n")
    try:
        return lint(tree)
    finally:
        for file, text in honest.items():
            file.write_text(text)


def file_of(tree: Path, module: str) -> Path:
    """Return the file of a module or the `__init__.py` of a package."""
    path = tree.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def lint(tree: Path) -> dict[str, set[Plant]]:
    """Return the forbidden imports that `lint-imports` reports, by the name of the contract."""
    command = [str(LINT), "--config", "pyproject.toml", "--no-logo", "--no-cache"]
    result = subprocess.run(
        command,
        cwd=tree,
        env={"PYTHONPATH": str(tree), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", result.stdout, re.MULTILINE))
    assert verdicts.keys() == CONTRACTS.keys(), result.stdout + result.stderr
    assert ("BROKEN" in verdicts.values()) == (result.returncode != 0)
    sections = re.split(r"^(.+)\n-+\n", result.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    reported = {
        name.strip(): set(re.findall(r"^(\S+) is not allowed to import (\S+):$", text, re.MULTILINE))
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    assert reported.keys() == {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    return {name: reported.get(name, set()) for name in CONTRACTS}
