"""The packages that are installed: what `requirements*.lock` names, what requires it, and its licence."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package of a lock. `hashes` are the SHA-256 of the files of this version."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")


def read_lock(path: Path) -> dict[NormalizedName, LockedPackage]:
    """Return the packages of a lock by name. Raises ValueError for a package that it pins twice."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    packages = [
        LockedPackage(Requirement(line.partition(" --hash=")[0]), tuple(_HASH.findall(line)))
        for line in filter(None, map(str.strip, text.splitlines()))
    ]
    named = {package.name: package for package in packages}
    if len(named) != len(packages):
        raise ValueError(f"{path.name} pins a package twice")
    return named


def read_requirements(path: Path) -> list[Requirement]:
    """Return the requirements of a file `requirements*.txt`, with those of the files that it includes."""
    found = []
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += read_requirements(path.parent / text.removeprefix("-r "))
        elif text:
            found.append(Requirement(text))
    return found


def find_required(direct: Iterable[Requirement]) -> dict[NormalizedName, set[NormalizedName]]:
    """Return all packages that these need here, each with those that it requires itself.

    The answer comes from the metadata of the installed packages; one that is not installed requires nothing.
    """
    required: dict[NormalizedName, set[NormalizedName]] = {}
    done: set[tuple[NormalizedName, str]] = set()
    pending = _choices(direct, "")
    while pending:
        name, extra = choice = pending.pop()
        if choice in done:
            continue
        done.add(choice)
        following = _choices(declared_requirements(name), extra)
        required.setdefault(name, set()).update({found for found, _ in following} - {name})
        pending += following
    return required


def _choices(requirements: Iterable[Requirement], extra: str) -> list[tuple[NormalizedName, str]]:
    """Return a package and an extra of it (`""` for none) for each requirement that applies here."""
    return [
        (canonicalize_name(requirement.name), chosen)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        for chosen in ("", *requirement.extras)
    ]


@cache
def declared_requirements(name: str) -> tuple[Requirement, ...]:
    """Return what an installed package requires, for any platform and extra; nothing if it is not installed."""
    try:
        return tuple(map(Requirement, importlib.metadata.requires(name) or ()))
    except importlib.metadata.PackageNotFoundError:
        return ()


def find_licence(name: NormalizedName) -> str:
    """Return the licence of a package as an SPDX expression; an empty text if it is not known.

    The metadata of the installed package states it, or pyproject.toml if that is unclear or it is not installed here.
    """
    known = read_project()["tool"]["hub"]["licences"]
    stated = _stated_licence(name, "License-Expression") or known["stated"].get(name, "")
    if stated:
        return str(stated)
    older = _stated_licence(name, "License")
    return older if older in known["allowed"] else ""


def _stated_licence(name: str, field: str) -> str:
    try:
        return str(importlib.metadata.metadata(name)[field] or "")
    except (importlib.metadata.PackageNotFoundError, KeyError):
        return ""


def list_licences(expression: str) -> set[str]:
    """Return the licences that an SPDX expression names."""
    return set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}


@cache
def read_project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
