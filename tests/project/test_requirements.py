"""What is installed: every package is locked with its hashes, and none is older than its last known fault."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devtools.packages import (
    ROOT,
    declared_requirements,
    find_required,
    read_lock,
    read_project,
    read_requirements,
)
from tests.tiers.newest import find_python, run_newest, unpin_django

pytestmark = pytest.mark.pure

NAMES = ["requirements", "requirements-celery", "requirements-run", "requirements-dev"]
each_lock = pytest.mark.parametrize("name", NAMES)
# `make lock` itself runs on it; what it writes is reviewed as a change of the locks.
WITHOUT_HASHES = "var/lock/bin/python $(PIP_INSTALL) uv=="
LOCKED = r"(pip install --require-hashes (--only-binary :all: )?|\$\(INSTALL\) )-r (requirements[\w-]*\.lock|\"\$\{LOCK\}\")"


def lock(name: str) -> Path:
    return ROOT / f"{name}.lock"


@pytest.mark.promise("T31")
@each_lock
def test_no_locked_package_is_older_than_its_last_known_fault(name: str) -> None:
    floors = [Requirement(text) for text in read_project()["tool"]["uv"]["constraint-dependencies"]]
    locked = read_lock(lock(name))
    assert {floor.name for floor in floors} >= {"django", "djangorestframework", "requests", "urllib3"}
    assert [
        f"{floor.name} {locked[canonicalize_name(floor.name)].version}, but {floor}"
        for floor in floors
        if not floor.specifier.contains(locked[canonicalize_name(floor.name)].version)
    ] == []


@pytest.mark.promise("T31")
@each_lock
def test_a_lock_holds_what_the_requirements_need_and_nothing_else(name: str) -> None:
    """Compares with the metadata of the installed packages: for this Python on this platform."""
    direct, locked = read_requirements(ROOT / f"{name}.txt"), read_lock(lock(name))
    unpinned = [str(one) for one in direct if not re.fullmatch(r"==[\w.]+", str(one.specifier))]
    assert unpinned == []
    pinned = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in direct}
    assert {package: locked[package].version for package in pinned if package in locked} == pinned
    here = {
        package.name
        for package in locked.values()
        if package.requirement.marker is None or package.requirement.marker.evaluate()
    }
    assert here == set(find_required(direct))
    assert {package: importlib.metadata.version(package) for package in here} == {
        package: locked[package].version for package in here
    }


@each_lock
def test_a_lock_names_each_extra_that_a_package_requires(name: str) -> None:
    """Where a lock pins `coverage` alone, pip 23 takes the newest `coverage[toml]` and then demands its hash."""
    locked = read_lock(lock(name))
    required = read_requirements(ROOT / f"{name}.txt")
    for package in locked.values():
        for extra in ("", *package.requirement.extras):
            required += [
                one
                for one in declared_requirements(package.name)
                if one.extras and (one.marker is None or one.marker.evaluate({"extra": extra}))
            ]
    assert {
        str(one) for one in required if one.extras - locked[canonicalize_name(one.name)].requirement.extras
    } == set()


@each_lock
def test_each_locked_package_has_one_version_and_the_same_hashes_in_all_locks(name: str) -> None:
    locked, widest = read_lock(lock(name)), read_lock(lock("requirements-dev"))
    assert [package.name for package in locked.values() if not package.hashes] == []
    assert {
        package.name
        for package in locked.values()
        if (package.version, package.hashes) != (widest[package.name].version, widest[package.name].hashes)
    } == set()


@each_lock
def test_a_lock_names_no_registry(name: str) -> None:
    assert (
        re.findall(r"^.*(?:://|--(?:extra-)?index-url|--find-links).*$", lock(name).read_text(), re.M) == []
    )


def test_every_documented_installation_demands_hashes() -> None:
    files = [ROOT / ".ci" / "run", *(ROOT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md"))]
    files += [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("Dockerfile*"),
        ROOT / "integration_hub" / "checks.py",
    ]
    installing = [
        (file.name, line.strip())
        for file in files
        for line in file.read_text().splitlines()
        if re.search(r"pip install|\$\((?:PIP_)?INSTALL\)", line) and ":=" not in line
    ]
    assert len(installing) > 4
    assert re.search(r"^INSTALL := .* --require-hashes$", (ROOT / "Makefile").read_text(), re.M)
    assert {
        f"{file}: {line}"
        for file, line in installing
        if not line.startswith(WITHOUT_HASHES) and not re.search(LOCKED, line)
    } == set()


def test_the_newest_django_runs_with_the_newest_python_that_can_make_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make newest` is not green by its absence: it says that it was skipped."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_newest() == 0
    assert capsys.readouterr().out.startswith("skipped: no Python for it")
    for name, status in (("python3.12", 0), ("python3.13", 0), ("python3.14", 0), ("python3.15", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    assert find_python() == str(tmp_path / "python3.14")


def test_only_django_is_newer_than_its_pin_in_the_lane_of_the_newest_django() -> None:
    pinned = (ROOT / "requirements.txt").read_text()
    changed = set(unpin_django(pinned).splitlines()) - set(pinned.splitlines())
    assert [line.partition(">=")[0] for line in changed] == ["Django"]
