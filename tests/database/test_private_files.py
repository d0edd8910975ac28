"""No other user of the machine can open what the hub stores in files."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from database.private_files import is_open_to_others, make_folder_private
from integration_hub.checks import check_file_permissions

pytestmark = [
    pytest.mark.pure,
    pytest.mark.concurrent,
    pytest.mark.filterwarnings("ignore:Overriding setting DATABASES:UserWarning"),
]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a folder that every user of the machine can open. Those of `tmp_path` are in a closed one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def database(public: Path, settings: Any) -> Path:
    file = public / "hub.sqlite3"
    file.touch(0o600)
    settings.DATABASES = {"default": {"ENGINE": "database.sqlite", "NAME": str(file)}}
    settings.WORKING_DIR = public / "hub"
    settings.EXPORT_FOLDER = str(public / "exports")
    make_folder_private(public / "exports")
    return file


@pytest.mark.parametrize(
    ("name", "debug", "number"),
    [
        *((name, False, "hub.E016") for name in ("hub.sqlite3", "hub.sqlite3-wal", "hub.sqlite3-shm")),
        *(("exports", False, "hub.E016"), ("hub/var", True, "hub.W016")),
    ],
)
def test_a_path_that_everybody_can_open_is_named(
    database: Path, public: Path, settings: Any, name: str, debug: bool, number: str
) -> None:
    settings.DEBUG = debug
    assert check_file_permissions() == []
    path = public / name
    if "sqlite3" in name:
        path.touch()
        path.chmod(0o644)
    else:
        path.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)
        path.chmod(0o755)
    [message] = check_file_permissions()
    assert (message.id, str(path) in message.msg) == (number, True)
    path.chmod(0o700 if path.is_dir() else 0o640)
    assert check_file_permissions() == []


def test_a_private_parent_folder_protects_a_public_file(public: Path) -> None:
    file = public / "inner" / "file"
    make_folder_private(file.parent)
    file.touch(0o644)
    file.chmod(0o644)
    assert not is_open_to_others(file)
    file.parent.chmod(0o711)
    assert is_open_to_others(file)
    assert not is_open_to_others(public / "missing")


def test_a_folder_that_was_open_is_closed_and_access_of_a_group_stays(public: Path) -> None:
    public.chmod(0o755)
    make_folder_private(public)
    assert public.stat().st_mode & 0o777 == 0o750


@pytest.mark.submission
def test_a_new_database_and_its_log_are_private(public: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HUB_ENV_FILE": os.devnull,
        "SECRET_KEY": "only-for-checks-0123456789abcdefghijklmnopqrstuvwxyz-",
        "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "DATABASE_URL": f"sqlite:///{public}/data/hub.sqlite3",
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
    }
    look = (
        "import os, django; os.umask(0o022); django.setup()\n"
        "from django.db import connection\n"
        "connection.cursor().execute('CREATE TABLE t (a)')\n"
        "print(sorted(f'{f.name} {f.stat().st_mode & 0o777:o}' for f in os.scandir(os.environ['DATA'])))"
    )
    result = subprocess.run(
        [sys.executable, "-c", look],
        cwd=ROOT,
        env=environment | {"DATA": f"{public}/data"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "'hub.sqlite3 600'" in result.stdout
    assert "'hub.sqlite3-wal 600'" in result.stdout
    assert " 644" not in result.stdout
    assert (public / "data").stat().st_mode & 0o777 == 0o700
    assert sqlite3.connect(public / "data" / "hub.sqlite3").execute("SELECT count(*) FROM t").fetchone()
