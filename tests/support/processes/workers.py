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
    """The tests' PostgreSQL server, another database."""
    server, _, query = postgresql.url().partition("?")
    return f"{server.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def own_database() -> str:
    """DATABASE_URL of the database that the tests of this process use."""
    name = str(connection.settings_dict["NAME"])
    return f"sqlite:///{name}" if connection.vendor == "sqlite" else database_url(name)


COMMANDS: list[list[str]] = []
"""Every command by which this process started a worker."""


def is_celery(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("CELERY_BROKER_URL"))


def worker_command(environment: Mapping[str, str], poll: float = 2.0) -> list[str]:
    """A worker of the engine that this environment chooses. A Celery worker looks as often as it does in production."""
    run_worker = [sys.executable, "manage.py", "run_worker", "--poll", str(poll)]
    COMMANDS.append(_celery_command() if is_celery(environment) else run_worker)
    return COMMANDS[-1]


def _celery_command() -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "integration_hub", "worker", "--pool", "threads"]
    quick = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    return [*celery, *quick, "--hostname", f"{uuid.uuid4().hex}@localhost"]


class WorkerProcess:
    """A worker on the tests' database. `poll`: so often it looks by itself."""

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
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        assert ready, "the worker does not say that it delivers"
        said = b""
        while b"Delivering" not in said:  # Celery shows its configuration before
            said = self.process.stdout.readline()
            assert said, self.said()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after that signal; at most 30 s are waited for it."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def said(self) -> str:
        """What it wrote; only after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def worker(poll: float = 2.0, count: int = 1, **variables: str) -> Iterator[list[WorkerProcess]]:
    """That many workers, up and running, gone at the end."""
    with ExitStack() as stack:
        workers = [WorkerProcess(poll, **variables) for _ in range(count)]
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
