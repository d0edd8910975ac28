"""Workers as real processes on the tests' database, and the queues that they can be given."""

import os
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.support.database import postgresql
from tests.support.processes.hub_processes import ROOT, free_port

HAS_POSTGRESQL = os.environ.get("HUB_TEST_DATABASE") == "postgresql"
KINDS = ("sqlite", "postgresql", "redis") if HAS_POSTGRESQL else ("sqlite", "redis")


@contextmanager
def queue_of(kind: str, folder: Path) -> Iterator[str]:
    """The QUEUE_URL of an empty queue of that kind, on the real server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'queue.sqlite3'}"
    elif kind == "redis":
        with redis_server(folder) as (url, _):
            yield url
    else:
        with queue_in_postgresql() as url:
            yield url


@contextmanager
def queue_in_postgresql() -> Iterator[str]:
    server, name = postgresql.url(), f"queue_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        yield database_url(name)
        link.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Redis of its own on a free port; its URL and its process."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed here; .ci/run installs it")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port))
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def database_url(name: str) -> str:
    """The tests' PostgreSQL server, another database."""
    server, _, query = postgresql.url().partition("?")
    return f"{server.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def own_database() -> str:
    """DATABASE_URL of the database that the tests of this process use."""
    name = str(connection.settings_dict["NAME"])
    return f"sqlite:///{name}" if connection.vendor == "sqlite" else database_url(name)


@contextmanager
def queue_that(state: str, folder: Path) -> Iterator[str]:
    """The QUEUE_URL of a queue that is away in one of the ways in which queues are."""
    file = folder / "away.sqlite3"
    if state == "locked":
        link = sqlite3.connect(file)
        link.execute("BEGIN EXCLUSIVE")
        yield f"sqlite:///{file}"
        link.close()
    elif state == "not a database":
        file.write_bytes(b"no database " * 100)
        yield f"sqlite:///{file}"
    elif state == "in no folder":
        file.touch()
        yield f"sqlite:///{file}/queue.sqlite3"
    elif state == "refuses":
        yield f"redis://127.0.0.1:{free_port()}/0"
    elif state == "stalls":  # takes connections and never says a word
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"postgres://nobody@127.0.0.1:{server.getsockname()[1]}/queue"
    else:
        assert state == "hangs"
        with redis_server(folder) as (url, process):
            process.send_signal(signal.SIGSTOP)
            yield url


class WorkerProcess:
    """`manage.py run_worker` on the tests' database. `sweep`: so often it looks by itself."""

    def __init__(self, queue_url: str, sweep: float, **variables: str) -> None:
        environment = os.environ | {
            "DATABASE_URL": own_database(),
            "QUEUE_URL": queue_url,
            "DELIVERY_THREADS": "4",
            "LOG_LEVEL": "WARNING",
            **variables,
        }
        command = [sys.executable, "manage.py", "run_worker", "--sweep", str(sweep)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        assert ready, "the worker does not say that it delivers"
        assert b"Delivering" in self.process.stdout.readline(), self.said()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after that signal; at most 30 s are waited for it."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def said(self) -> str:
        """What it wrote; only after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def worker(
    queue_url: str, sweep: float = 3600.0, count: int = 1, **variables: str
) -> Iterator[list[WorkerProcess]]:
    """That many workers, up and running, gone at the end. By default they do not sweep while a test lasts."""
    with ExitStack() as stack:
        workers = [WorkerProcess(queue_url, sweep, **variables) for _ in range(count)]
        for each in workers:
            stack.callback(each.process.wait)
            stack.callback(each.process.kill)
        for each in workers:
            each.wait_until_ready()
        yield workers


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)
