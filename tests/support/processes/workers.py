"""Workers as real processes on the tests' database."""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from django.db import connection

from tests.support.database import postgresql
from tests.support.processes.hub_processes import ROOT, WITH_WORKERS


def database_url(name: str) -> str:
    """Return the URL of another database on the tests' PostgreSQL server."""
    server, _, query = postgresql.url().partition("?")
    return f"{server.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def own_database() -> str:
    """Return the DATABASE_URL of the database that the tests of this process use."""
    name = str(connection.settings_dict["NAME"])
    return f"sqlite:///{name}" if connection.vendor == "sqlite" else database_url(name)


def is_celery(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("CELERY_BROKER_URL"))


def worker_command(environment: Mapping[str, str], poll: float = 2.0) -> list[str]:
    """Return the command of a worker for the engine that this environment chooses. `poll`, in seconds, is not for Celery."""
    if is_celery(environment):
        return _celery_command()
    return [sys.executable, "manage.py", "run_worker", "--poll", str(poll)]


def _celery_command() -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "integration_hub", "worker", "--pool", "threads"]
    quick = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    return [*celery, *quick, "--hostname", f"{uuid.uuid4().hex}@localhost"]


class WorkerProcess:
    """A worker process on the tests' database. `poll`: seconds between two looks for due work."""

    def __init__(self, poll: float = 2.0, **variables: str) -> None:
        environment = os.environ | {
            **WITH_WORKERS,
            "DATABASE_URL": own_database(),
            "DELIVERY_THREADS": "4",
            "LOG_LEVEL": "WARNING",
            **variables,
        }
        command = worker_command(environment, poll)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 90)
        assert ready, "the worker does not say that it delivers"
        line = b""
        while b"Delivering" not in line:  # Celery shows its configuration before
            line = self.process.stdout.readline()
            assert line, self.read_errors()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code. Raises TimeoutExpired after 60 s."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def wait_for_error(self, text: str, seconds: float = 60.0) -> str:
        """Wait until the error output has a text. Returns the output so far, which `read_errors` leaves out."""
        assert self.process.stderr is not None
        found, until = b"", time.monotonic() + seconds
        while text.encode() not in found:
            ready, _, _ = select.select([self.process.stderr], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self.process.stderr.fileno(), 65_536) if ready else b""
            assert piece, found.decode()
            found += piece
        return found.decode()

    def read_errors(self) -> str:
        """Return the process's error output. Blocks until it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def running_workers(poll: float = 2.0, count: int = 1, **variables: str) -> Iterator[list[WorkerProcess]]:
    """Yield `count` workers that are ready; kill them at the end."""
    with ExitStack() as stack:
        workers = [WorkerProcess(poll, **variables) for _ in range(count)]
        for started in workers:
            stack.callback(started.process.wait)
            stack.callback(started.process.kill)
        for started in workers:
            started.wait_until_ready()
        yield workers


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not become true in time"
        time.sleep(0.02)
