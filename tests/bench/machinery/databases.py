"""Databases that keep what they commit: SQLite in a file on a disk, PostgreSQL with fsync on."""

import atexit
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.machinery.processes import Family, free_port
from tests.support.database import postgresql

_OPTIONS = "-c max_connections=200 -c shared_buffers=256MB -c max_wal_size=4GB"
VARIABLE = "BENCH_POSTGRESQL_URL"


@dataclass(frozen=True, slots=True)
class Database:
    """A database of its own: SQLite where `file` is given."""

    url: str
    file: Path | None = None
    server: Family | None = None

    @property
    def kind(self) -> str:
        return "sqlite" if self.file else "postgresql"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read past the hub."""
        if self.file is None:
            with psycopg.connect(self.url) as link:
                return list(link.execute(query))
        with closing(sqlite3.connect(self.file, timeout=30)) as file:
            return list(file.execute(query))

    def write(self, *statements: str) -> None:
        """Write past the hub, in one transaction."""
        if self.file is None:
            with psycopg.connect(self.url) as link:
                for statement in statements:
                    link.execute(statement)
            return
        with closing(sqlite3.connect(self.file, timeout=30)) as file, file:
            for statement in statements:
                file.execute(statement)


class Cluster:
    """A PostgreSQL server: the one named in the environment, or one of our own that waits for its disk."""

    def __init__(self) -> None:
        self.url = os.environ.get(VARIABLE, "")
        self.family: Family | None = None
        if not self.url:
            self.url, self.family = _own()
        with psycopg.connect(self.url) as link:
            waits = {
                name: link.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")
            }
        assert set(waits.values()) == {("on",)}, f"this server does not keep what it commits: {waits}"


def _own() -> tuple[str, Family]:
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    programs = postgresql.server_programs()
    assert programs, f"no PostgreSQL server programs here; name a server in {VARIABLE}"
    folder = Path(tempfile.mkdtemp(prefix="hub-bench-postgresql-"))
    user, data, port = postgresql.unprivileged_user(folder), folder / "data", free_port()
    postgresql.run_as(
        [programs / "initdb", "-D", data, "-U", "hub", "-A", "trust", "-E", "UTF8"], user, folder
    )
    options = f"{_OPTIONS} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    control = [programs / "pg_ctl", "-D", data, "-w", "-t", "60"]
    postgresql.run_as([*control, "-l", folder / "log", "-o", options, "start"], user, folder)
    atexit.register(
        postgresql.remove_cluster, os.getpid(), [*control, "-m", "immediate", "stop"], user, folder
    )
    process = int((data / "postmaster.pid").read_text().split()[0])
    return f"postgres://hub@127.0.0.1:{port}/postgres", Family(process)


@contextmanager
def fresh_database(kind: str, cluster: Cluster | None, folder: Path) -> Iterator[Database]:
    """An empty database that is removed at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    if kind == "sqlite":
        place = folder / name
        place.mkdir()
        yield Database(f"sqlite:///{place / 'bench.sqlite3'}", place / "bench.sqlite3")
        shutil.rmtree(place)
        return
    assert cluster is not None
    with psycopg.connect(cluster.url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    try:
        yield Database(f"{cluster.url.rpartition('/')[0]}/{name}", server=cluster.family)
    finally:
        with psycopg.connect(cluster.url, autocommit=True) as link:
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def sync_milliseconds(folder: Path, times: int = 50) -> float:
    """What one fdatasync of a small write costs in this folder: the median."""
    spent = []
    with (folder / "sync").open("wb") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent)[times // 2]
