"""Migrated databases: for the tests of a process, and for hubs in processes of their own. Migrating takes seconds of
CPU; a copy takes none. One template is migrated for each database server and run, whatever the number of its processes;
without a seed, one for each server and all runs within `python -m tests.support.database`.
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
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.database import postgresql

Seed = Mapping[str, str]
NO_SEED: Seed = {}
_ROOT = Path(__file__).resolve().parents[3]
RUN_FOLDER = "HUB_TEST_TEMPLATES"
"""The variable that names the folder of this run: the templates of SQLite, and the names of those of PostgreSQL."""
_SHARED_FOLDER = "HUB_SHARED_TEMPLATES"
"""The variable that names a folder for the templates of several runs without a seed, in place of that of each."""


def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


def share_templates() -> Path:
    """Share the templates of this process with its children. Returns their folder, which is deleted when it ends."""
    return _share(RUN_FOLDER)


def share_templates_between_runs() -> None:
    """Share templates between the runs that this process starts. They are deleted when it ends."""
    _share(_SHARED_FOLDER)


def _share(variable: str) -> Path:
    if variable not in os.environ:
        os.environ[variable] = tempfile.mkdtemp(prefix="hub-templates-")
        atexit.register(_delete_templates, os.getpid(), Path(os.environ[variable]))
    return Path(os.environ[variable])


def begin_template() -> None:
    """Begin to migrate the template, of which the processes of this run will need copies."""
    threading.Thread(target=_template).start()


@contextmanager
def copied_database(folder: Path, seed: Seed = NO_SEED) -> Iterator[str]:
    """Yield a migrated database of the kind that this run uses: the path of a file, or a name on the server."""
    template = _template(seed)
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
def migrated_database(folder: Path, seed: Seed = NO_SEED) -> Iterator[tuple[str, str]]:
    """Yield the file or URL of a migrated database, and its DATABASE_URL.

    `seed`: the variables with which `seed_sandbox` fills it. The template keeps the addresses of the first caller.
    """
    with copied_database(folder, seed) as name:
        yield (_url(name), _url(name)) if is_postgresql() else (name, f"sqlite:///{name}")


def _digest_of_schema() -> str:
    """Return a digest of what makes the tables: a broken variant of it does not share the template of others."""
    files = [*sorted(_ROOT.glob("*/migrations/*.py")), _ROOT / "database" / "row_ids.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _template(seed: Seed = NO_SEED) -> str:
    """Return the path or the name of the template. Creates it on the first call."""
    server = postgresql.url() if is_postgresql() else ""  # some tests have their own, which they stop
    key = f"{_identity() if server else ''} {'seeded' if seed else 'migrated'} {_digest_of_schema()}"
    kind = ".name" if server else ".sqlite3"
    # Not between runs: rows of a seed may be too old for a later one.
    folder = (not seed and os.environ.get(_SHARED_FOLDER)) or os.environ[RUN_FOLDER]
    made = Path(folder) / (hashlib.sha256(key.encode()).hexdigest()[:12] + kind)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make_template(made, server, seed)
    return made.read_text().split()[1] if server else str(made)


def _identity() -> str:
    """Return what no other PostgreSQL server has, not even a later one on the same port."""
    with psycopg.connect(postgresql.url()) as link:
        [[identifier]] = link.execute("SELECT system_identifier FROM pg_control_system()").fetchall()
    return str(identifier)


def _make_template(made: Path, server: str, seed: Seed) -> None:
    migrated = _template() if seed else ""
    if not server:
        unfinished = made.with_suffix(".unfinished")
        if migrated:
            shutil.copyfile(migrated, unfinished)
        _fill(f"sqlite:///{unfinished}", seed)
        unfinished.rename(made)
        return
    name = f"hub_template_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name} TEMPLATE {migrated or 'template1'}")
    _fill(_url(name), seed)
    made.write_text(f"{server} {name}")


def _fill(url: str, seed: Seed) -> None:
    """Seed a database that is migrated; without a seed, migrate it."""
    command = (
        ["-m", "devtools", "seed_sandbox", "--allow-demo-logins", "--logins", os.devnull]
        if seed
        else ["manage.py", "migrate", "--verbosity", "0"]
    )
    environment = os.environ | {"AUDIT_CHECKPOINT_EMAILS": "auditor@example.com"} | dict(seed)  # or it warns
    environment["DATABASE_URL"] = url
    subprocess.run(
        [sys.executable, *command],
        cwd=_ROOT,
        env=environment,
        check=True,
        timeout=300,
        stdout=subprocess.DEVNULL,
    )


def _delete_templates(pid: int, folder: Path) -> None:
    """Delete the templates if this process, not a fork of it, has this id."""
    if pid != os.getpid():
        return
    for made in folder.glob("*.name"):  # a run on PostgreSQL has SQLite templates too: of hubs that need them
        server, name = made.read_text().split()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server, autocommit=True) as link:
            link.execute(f"DROP DATABASE IF EXISTS {name}")
    shutil.rmtree(folder, ignore_errors=True)


def _on_server(statement: str) -> None:
    with psycopg.connect(postgresql.url(), autocommit=True) as link:
        link.execute(statement)


def _url(name: str) -> str:
    return f"{postgresql.url().rpartition('/')[0]}/{name}"
