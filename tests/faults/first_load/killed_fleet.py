"""When processes of a first load are killed, and acts of people meanwhile."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.faults.fleet.hub_fleet import Fleet
from tests.support.processes.hub_processes import ROOT


@dataclass(frozen=True, slots=True)
class RowCount:
    """The moment at which a statement of SQL returns at least this number: then the process of a kind is killed."""

    kind: str
    statement: str
    number: int

    def is_reached(self, fleet: Fleet) -> bool:
        return bool(fleet.hub.rows(self.statement)[0][0] >= self.number)


def decide(fleet: Fleet, act: str, argument: str, *, seconds: float = 900.0) -> dict[str, Any]:
    """Carry out an act of people on the fleet's database (see `acts`). Returns its result."""
    command = [sys.executable, "-m", "tests.faults.first_load.acts", act, argument]
    result = subprocess.run(
        command, cwd=ROOT, env=fleet.hub.environment, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode == 0, result.stderr[-4000:]
    decided: dict[str, Any] = json.loads(result.stdout)
    return decided
