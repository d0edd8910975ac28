"""Processes of a hub that are killed once the database shows how far they are, and acts of people meanwhile."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.faults.comparison.compared_fleet import kill_with_jobs, write
from tests.faults.fleet.hub_fleet import Fleet
from tests.support.processes.hub_processes import ROOT

# The lease of a job is a minute: who claims it next is what the tests show, not how long that takes.
_END_LEASES = "UPDATE sync_job SET lease_until = '2020-01-01 00:00:00+00:00' WHERE state = 'running'"


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill the process of a kind: once a statement of SQL returns at least this number."""

    kind: str
    statement: str
    number: int


@dataclass
class MomentKiller:
    """A context manager that kills and restarts a process at each moment, in their order. `killed`: those that came."""

    fleet: Fleet
    moments: tuple[Moment, ...]
    killed: list[Moment] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "MomentKiller":
        self._thread = threading.Thread(target=self._run, name="moment-killer")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        for moment in self.moments:
            while self.fleet.hub.rows(moment.statement)[0][0] < moment.number:
                if self._stopped.wait(0.01):
                    return
            victim = (self.fleet.workers if moment.kind == "worker" else self.fleet.webs)[0]
            kill_with_jobs(victim)
            if moment.kind == "worker":
                write(self.fleet, _END_LEASES)
            victim.start()
            self.killed.append(moment)


def decide(fleet: Fleet, act: str, argument: str, *, seconds: float = 900.0) -> dict[str, Any]:
    """Carry out an act of people on the fleet's database (see `acts`). Returns its result."""
    command = [sys.executable, "-m", "tests.faults.first_load.acts", act, argument]
    result = subprocess.run(
        command, cwd=ROOT, env=fleet.hub.environment, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode == 0, result.stderr[-4000:]
    decided: dict[str, Any] = json.loads(result.stdout)
    return decided
