"""A hub of several processes that compares two stand-ins, while its processes are killed at chosen places."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.faults.fleet.hub_fleet import Fleet, Member
from tests.support.processes.hub_processes import ROOT

ROUTE = "aurora-user-shop"
_PROGRESS = "SELECT state, phase, read_records, read_entities FROM sync_comparison ORDER BY id DESC LIMIT 1"
# The lease of a job is a minute: who claims it next is what the tests show, not how long that takes.
_END_LEASES = "UPDATE sync_job SET lease_until = '2020-01-01 00:00:00+00:00' WHERE state = 'running'"


def write(fleet: Fleet, statement: str) -> None:
    """Change the fleet's database, which its processes use: SQLite lets one write at a time."""
    until = time.monotonic() + 60
    while True:
        try:
            fleet.hub.write(statement)
        except sqlite3.OperationalError:
            assert time.monotonic() < until, "the database stays locked"
        else:
            return


class Moment(Protocol):
    """When to kill the process of a kind."""

    @property
    def kind(self) -> str: ...
    def is_reached(self, fleet: Fleet) -> bool: ...


@dataclass(frozen=True, slots=True)
class KillPoint:
    """In a phase of the comparison, once so many items of it were read."""

    kind: str
    phase: str
    read: int = 0

    def is_reached(self, fleet: Fleet) -> bool:
        rows = fleet.hub.rows(_PROGRESS)
        if not rows:
            return False
        state, phase, records, entities = rows[0]
        read = {"records": records, "entities": entities}.get(phase, 0)
        return state == "running" and phase == self.phase and bool(read >= self.read)


@dataclass
class FleetKiller:
    """A context manager that kills a process at each moment, in their order, and restarts it. `killed`: those reached."""

    fleet: Fleet
    moments: Sequence[Moment]
    killed: list[Moment] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "FleetKiller":
        self._thread = threading.Thread(target=self._run, name="fleet-killer")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        for moment in self.moments:
            while not moment.is_reached(self.fleet):
                if self._stopped.wait(0.01):
                    return
            victim = (self.fleet.workers if moment.kind == "worker" else self.fleet.webs)[0]
            kill_with_jobs(victim)
            if moment.kind == "worker":
                write(self.fleet, _END_LEASES)
            victim.start()
            self.killed.append(moment)


def kill_with_jobs(member: Member) -> None:
    """Send SIGKILL to a process of the hub, and to those that run its jobs: each leads a session of its own."""
    assert member.process is not None
    children = [process for process in _process_ids() if _parent_of(process) == member.process.pid]
    member.kill()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _process_ids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent_of(process: int) -> int:
    """Return the id of a process's parent; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What `manage.py compare` printed for a route, and its exit status."""

    status: int
    document: dict[str, Any]


def compare(fleet: Fleet, *, seconds: float = 600.0) -> CommandResult:
    """Run the command of operators for the people of the fleet, and return its result."""
    command = [sys.executable, "manage.py", "compare", ROUTE, "--json"]
    result = subprocess.run(
        command, cwd=ROOT, env=fleet.hub.environment, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode in (0, 1, 2), result.stderr
    assert result.stdout, result.stderr
    [document] = json.loads(result.stdout)
    return CommandResult(result.returncode, document)


def found_differences(fleet: Fleet, comparison: str) -> dict[str, set[str]]:
    """Return what a comparison reported, by kind: ids of entities, or of records that belong to none."""
    key = comparison if fleet.hub.database.startswith("postgres") else comparison.replace("-", "")
    rows = fleet.hub.rows(
        "SELECT kind, status, entity_id, record_id FROM sync_difference WHERE comparison_id ="
        f" (SELECT id FROM sync_comparison WHERE uuid = '{key}')"
    )
    found: dict[str, set[str]] = {}
    for kind, status, entity_id, record_id in rows:
        assert status == "confirmed", (kind, status, entity_id, record_id)
        found.setdefault(kind, set()).add(entity_id or record_id)
    return found


class Traffic:
    """A context manager that lets clients run one function again and again, `rate` times a second all together."""

    def __init__(self, send: Callable[[], None], clients: int, rate: float) -> None:
        self._send, self._clients, self._rate = send, clients, rate
        self._stopped = threading.Event()
        self.errors: list[BaseException] = []

    def __enter__(self) -> "Traffic":
        self._threads = [
            threading.Thread(target=self._run, name=f"traffic-{n}") for n in range(self._clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        pause, due = self._clients / self._rate, time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            try:
                self._send()
            except BaseException as error:
                self.errors.append(error)
                return
