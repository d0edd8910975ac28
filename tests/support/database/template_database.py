"""Migrated databases for hubs in processes of their own. Migrating takes seconds; a copy takes none.

The template is kept once a process of the tests: a copy of their own database where they have one, else one that is
migrated for it.
"""

import atexit
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.database import postgresql

_ROOT = Path(__file__).resolve().parents[3]
_kept: dict[str, str] = {}
"""The template of each server: the name of a database; of none, a file."""


def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


def keep(migrated: str) -> None:
    """Make a copy of this database, a file or a name, the template. Nobody may be connected to it."""
    _kept[_server()] = _new_file(migrated) if not is_postgresql() else _new_name(migrated)


@contextmanager
def migrated_database(folder: Path) -> Iterator[tuple[str, str]]:
    """A migrated database of the kind that this run of the tests is about: where it is, and its DATABASE_URL."""
    if _server() not in _kept:
        _migrate_one()
    template = _kept[_server()]
    if not is_postgresql():
        file = folder / "hub.sqlite3"
        shutil.copyfile(template, file)
        yield str(file), f"sqlite:///{file}"
        return
    name = f"hub_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _url(name), _url(name)
    finally:
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def _server() -> str:
    """Some tests have a server of their own, which they stop."""
    return postgresql.url() if is_postgresql() else ""


def _migrate_one() -> None:
    name = _new_name("template1") if is_postgresql() else _new_file(None)
    url = _url(name) if is_postgresql() else f"sqlite:///{name}"
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=_ROOT, env=os.environ | {"DATABASE_URL": url}, check=True, timeout=120)
    _kept[_server()] = name


def _new_file(source: str | None) -> str:
    folder = Path(tempfile.mkdtemp(prefix="hub-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if source is not None:
        shutil.copyfile(source, folder / "hub.sqlite3")
    return str(folder / "hub.sqlite3")


def _new_name(source: str) -> str:
    name = f"hub_template_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name} TEMPLATE {source}")
    atexit.register(_forget, postgresql.url(), name)
    return name


def _forget(server: str, name: str) -> None:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server, autocommit=True) as link:
        link.execute(f"DROP DATABASE IF EXISTS {name}")


def _on_server(statement: str) -> None:
    with psycopg.connect(postgresql.url(), autocommit=True) as link:
        link.execute(statement)


def _url(name: str) -> str:
    return f"{postgresql.url().rpartition('/')[0]}/{name}"
