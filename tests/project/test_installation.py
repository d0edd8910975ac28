"""The hub can be installed as a package: with its templates and data files, its dependencies and its command."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.pure, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    *(found.parent.name for found in ROOT.glob("*/__init__.py") if found.parent.name != "tests"),
    "templates",
    "pyproject.toml",
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-celery.txt",
    "README.md",
    "LICENSE",
)
LOGIN_PAGE = (
    "from django.test import Client; print(Client(SERVER_NAME='localhost').get('/admin/login/').status_code)"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked contents of the wheel."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "wheels",
        ".",
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    [wheel] = (folder / "wheels").iterdir()
    site = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def metadata(site: Path) -> Message:
    [file] = site.glob("*.dist-info/METADATA")
    return HeaderParser().parsestr(file.read_text())


def test_the_package_requires_runtime_dependencies_and_offers_checks_as_an_extra(installed: Path) -> None:
    package_metadata = metadata(installed)
    requirements = package_metadata.get_all("Requires-Dist") or []
    pinned = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    plain = {line.replace(" ", "").lower() for line in requirements if "extra ==" not in line}
    assert (
        package_metadata["Name"],
        package_metadata["Version"],
        package_metadata["License-Expression"],
    ) == (
        "integration-hub",
        "0.1.0",
        "MIT",
    )
    assert {line.lower() for line in pinned if line} == plain
    assert package_metadata.get_all("Provides-Extra") == ["celery", "dev"]
    assert any(line.startswith("pytest==") and "extra ==" in line for line in requirements)


def test_the_package_runs_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(installed),
            "DEBUG": "on",
            "SECRET_KEY": "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz",
            "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        }
        command = [sys.executable, "-m", "integration_hub", *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run("migrate", "--verbosity", "0")
    assert (tmp_path / "var" / "hub.sqlite3").exists()
    assert run("shell", "--no-imports", "--command", LOGIN_PAGE).split()[-1] == "200"


def test_every_data_file_is_in_the_package(installed: Path) -> None:
    kinds = {".html", ".css", ".js", ".svg", ".json", ".toml", ".txt"}
    sources = {
        str(file.relative_to(ROOT))
        for name in SOURCES
        for file in (ROOT / name).rglob("*")
        if file.suffix in kinds and "__pycache__" not in file.parts
    }
    assert sources
    assert sources - {str(file.relative_to(installed)) for file in installed.rglob("*")} == set()
