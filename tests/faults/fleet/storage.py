"""Outages of the storage of a running hub, caused from outside and undone."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import psycopg

from tests.faults.fleet.hub_fleet import Fleet
from tests.support.database import server_programs
from tests.support.processes.hub_processes import free_port

Outage = Callable[[Fleet], AbstractContextManager[None]]
"""A context manager within which the storage of the fleet fails."""


class Cluster:
    """A PostgreSQL for one test, which may be stopped. Unlike the shared one it waits for the log at each commit."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-storage-"))
        self._user = server_programs.unprivileged_user(self.folder)
        self._programs = server_programs.server_programs() or server_programs.wheel_programs()
        self._port = free_port()
        self._run("initdb", "-U", "hub", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.url = f"postgres://hub@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self.folder}"
        )
        self._run("pg_ctl", "-w", "-t", "30", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop immediately: all connections are cut, and the next start recovers from the log."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def stopped(self, _: Fleet) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def read_only(self, _: Fleet) -> Iterator[None]:
        """Refuse every write and allow reads, as a server does that became a standby."""
        with psycopg.connect(self.url, autocommit=True) as link:
            link.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            link.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            with psycopg.connect(self.url, autocommit=True) as link:
                link.execute("SET default_transaction_read_only = off")
                link.execute("ALTER SYSTEM RESET default_transaction_read_only")
                link.execute("SELECT pg_reload_conf()")

    @contextmanager
    def frozen(self, _: Fleet) -> Iterator[None]:
        """Stop all processes of the server and leave its connections: its kernel accepts what is sent, and nothing answers."""
        server = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        # The server first, so that it starts no more of them.
        os.kill(server, signal.SIGSTOP)
        processes = [server, *_children(server)]
        _send_signal(signal.SIGSTOP, processes)
        try:
            yield
        finally:
            _send_signal(signal.SIGCONT, processes)

    def _run(self, program: str, *arguments: str) -> None:
        command: list[object] = [self._programs / program, "-D", self.folder / "data", *arguments]
        server_programs.run_as(command, self._user, self.folder)


@contextmanager
def events_locked(fleet: Fleet) -> Iterator[None]:
    """Lock the table of events (PostgreSQL): writers of it wait, and with a pool of one connection so does every request."""
    with psycopg.connect(fleet.hub.database) as link:
        link.execute("LOCK TABLE webhooks_event IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def file_locked(fleet: Fleet) -> Iterator[None]:
    """Hold the write lock of the database file (SQLite) without entering the hub's writer queue."""
    with closing(sqlite3.connect(fleet.hub.database, isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def files_full_grown(fleet: Fleet) -> Iterator[None]:
    """Limit the size of files to that of the log now (SQLite): writes fail as on a broken disk or without quota."""
    size = Path(f"{fleet.hub.database}-wal").stat().st_size
    processes = [number for member in fleet.members for number in _family(member.process)]
    for number in processes:
        resource.prlimit(number, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for number in processes:
            resource.prlimit(number, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def _family(process: "subprocess.Popen[bytes] | None") -> list[int]:
    """Return the ids of a process and its children."""
    assert process is not None
    return [process.pid, *_children(process.pid)]


def _children(process_id: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()))


def _send_signal(number: signal.Signals, processes: list[int]) -> None:
    for process_id in processes:
        with suppress(ProcessLookupError):
            os.kill(process_id, number)
