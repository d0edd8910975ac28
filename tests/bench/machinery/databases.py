"""Durable databases for measurements: SQLite in a file on a disk, PostgreSQL with fsync on."""

import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.machinery.processes import Family, free_port, parent_of
from tests.support.database import postgresql

_OPTIONS = "-c max_connections=200 -c shared_buffers=256MB -c max_wal_size=4GB"
VARIABLE = "BENCH_POSTGRESQL_URL"


@dataclass(frozen=True, slots=True)
class Database:
    """A separate database, SQLite if `file` is given."""

    url: str
    file: Path | None = None
    server: Family | None = None

    @property
    def kind(self) -> str:
        return "sqlite" if self.file else "postgresql"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Query the database directly."""
        with self.reading() as read:
            return read(query)

    @contextmanager
    def reading(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Yield a function that queries over one connection: new ones would cost CPU of the server."""
        if self.file is None:
            with psycopg.connect(self.url, autocommit=True) as link:
                yield lambda query: list(link.execute(query))
            return
        with closing(sqlite3.connect(self.file, timeout=30)) as file:
            yield lambda query: list(file.execute(query))

    def write(self, *statements: str) -> None:
        """Change the database directly, in one transaction."""
        if self.file is None:
            with psycopg.connect(self.url) as link:
                for statement in statements:
                    link.execute(statement)
            return
        with closing(sqlite3.connect(self.file, timeout=30)) as file, file:
            for statement in statements:
                file.execute(statement)

    def size(self) -> int:
        """Return the bytes of the database: of the file of SQLite once its log is copied back, of PostgreSQL after VACUUM."""
        if self.file is not None:
            pages, page_size = self.rows("PRAGMA page_count"), self.rows("PRAGMA page_size")
            return int(pages[0][0]) * int(page_size[0][0])
        with psycopg.connect(self.url, autocommit=True) as link:
            link.execute("VACUUM")
            link.execute("CHECKPOINT")
        return int(self.rows("SELECT pg_database_size(current_database())")[0][0])


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A PostgreSQL server: its address, and its postmaster with all child processes."""

    url: str
    family: Family


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server with fsync, or use the one named in the environment.

    Each project gets its own server, so that no helper process works for two: CPU is counted by server. A server named
    in the environment is shared, and must be on this machine.
    """
    given = os.environ.get(VARIABLE, "")
    with nullcontext(_given(given)) if given else _own() as server:
        with psycopg.connect(server.url) as link:
            waits = {
                name: link.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")
            }
        assert set(waits.values()) == {("on",)}, f"this server does not keep what it commits: {waits}"
        yield server


def _given(url: str) -> PostgresServer:
    with psycopg.connect(url) as link:
        try:
            return PostgresServer(url, Family(parent_of(link.info.backend_pid)))
        except LookupError as error:
            raise SystemExit(f"{VARIABLE}: the server's CPU cannot be counted, {error}") from None


@contextmanager
def _own() -> Iterator[PostgresServer]:
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
    try:
        postmaster = int((data / "postmaster.pid").read_text().split()[0])
        yield PostgresServer(f"postgres://hub@127.0.0.1:{port}/postgres", Family(postmaster))
    finally:
        postgresql.remove_cluster(os.getpid(), [*control, "-m", "immediate", "stop"], user, folder)


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[Database]:
    """Create an empty database and remove it at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    if kind == "sqlite":
        place = folder / name
        place.mkdir()
        yield Database(f"sqlite:///{place / 'bench.sqlite3'}", place / "bench.sqlite3")
        shutil.rmtree(place)
        return
    with running_postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name}")
        try:
            yield Database(f"{server.url.rpartition('/')[0]}/{name}", server=server.family)
        finally:
            with psycopg.connect(server.url, autocommit=True) as link:
                link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def sync_milliseconds(folder: Path, times: int = 50) -> float:
    """Return the median duration of one fdatasync of a small write in this folder."""
    spent = []
    with (folder / "sync").open("wb") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent)[times // 2]
