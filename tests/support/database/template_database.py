"""Migrated databases: for the tests of a process, and for hubs in processes of their own. Migrating takes seconds of
CPU; a copy takes none. One template is migrated for each database server and run, whatever the number of its processes.
"""

import atexit
import contextlib
import fcntl
import hashlib
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
_FOLDER = "HUB_TEST_TEMPLATES"
"""The variable that names the folder of this run: the templates of SQLite, and the names of those of PostgreSQL."""


def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


def share_templates() -> None:
    """Let the processes that this one starts use its templates. They are deleted when it ends."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="hub-templates-")
        atexit.register(_delete_templates, os.getpid(), Path(os.environ[_FOLDER]))


@contextmanager
def copied_database(folder: Path) -> Iterator[str]:
    """Yield a migrated database of the kind that this run is about: a file in this folder, or a name on the server."""
    template = _template()
    if not is_postgresql():
        file = folder / "hub.sqlite3"
        shutil.copyfile(template, file)
        yield str(file)
        return
    name = f"hub_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_database(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield where such a database is, the file or the URL, and its DATABASE_URL."""
    with copied_database(folder) as name:
        yield (_url(name), _url(name)) if is_postgresql() else (name, f"sqlite:///{name}")


def _template() -> str:
    """Return the template, the path of a file or a name on the server; migrate it if it is the first time."""
    server = (
        postgresql.url() if is_postgresql() else ""
    )  # some tests have a server of their own, which they stop
    made = Path(os.environ[_FOLDER]) / hashlib.sha256(server.encode()).hexdigest()[:12]
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make_template(made, server)
    return made.read_text().split()[1] if server else str(made)


def _make_template(made: Path, server: str) -> None:
    if not server:
        unfinished = made.with_suffix(".unfinished")
        _migrate(f"sqlite:///{unfinished}")
        unfinished.rename(made)
        return
    name = f"hub_template_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name}")
    _migrate(_url(name))
    made.write_text(f"{server} {name}")


def _migrate(url: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    environment = os.environ | {
        "DATABASE_URL": url,
        "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
    }  # or it warns
    subprocess.run(command, cwd=_ROOT, env=environment, check=True, timeout=300)


def _delete_templates(pid: int, folder: Path) -> None:
    """Delete the templates of the process of this number, if this is the one."""
    if pid != os.getpid():
        return
    for made in folder.glob("*"):
        if is_postgresql() and not made.suffix:
            server, name = made.read_text().split()
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(server, autocommit=True) as link,
            ):
                link.execute(f"DROP DATABASE IF EXISTS {name}")
    shutil.rmtree(folder, ignore_errors=True)


def _on_server(statement: str) -> None:
    with psycopg.connect(postgresql.url(), autocommit=True) as link:
        link.execute(statement)


def _url(name: str) -> str:
    return f"{postgresql.url().rpartition('/')[0]}/{name}"
