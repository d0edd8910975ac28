"""The memory of the worker and of the web process over many events (`--memory 100000`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.servers import running_hub
from tests.bench.machinery.systems import Systems
from tests.bench.reports.table import table
from tests.bench.subjects.comparison import say
from tests.bench.subjects.measurement import ACK, measure

STEP = 2_500
_LOAD = replace(ACK, most=2_500)


@dataclass(frozen=True, slots=True)
class Reading:
    """Resident bytes after a number of events."""

    events: int
    worker: int
    web: int
    drain_rate: float


def watch_memory(kind: str, systems: Systems, folder: Path, events: int) -> list[Reading]:
    """Send `ack` events in portions, let one worker deliver each, and read the memory every ten thousand events."""
    readings, done = [], 0
    with fresh_database(kind, folder) as database, running_hub(database, systems, folder) as hub:
        while done < events:
            figures = measure(hub, _LOAD, systems, clients=16, delay=0, seconds=120)
            done += _LOAD.most
            if done % STEP == 0 or done == _LOAD.most:
                say(figures, f"memory {done}")
                worker = hub.worker.memory() if hub.worker else 0
                readings.append(Reading(done, worker, hub.web.memory(), figures.drain_rate))
    return readings


def show_memory(kind: str, readings: Sequence[Reading]) -> str:
    """Format a row for each reading; the last line compares the last with the second, when caches are full."""
    rows = [
        [
            f"{reading.events:,}",
            f"{reading.worker / 2**20:.1f}",
            f"{reading.web / 2**20:.1f}",
            f"{reading.drain_rate:.0f}",
        ]
        for reading in readings
    ]
    warm, last = readings[min(1, len(readings) - 1)], readings[-1]
    return (
        f"## {kind}: resident memory by events delivered\n\n"
        f"{table(['events', 'worker MB', 'web MB', 'drained a second'], rows)}\n\n"
        f"From {warm.events:,} events on: worker × {last.worker / max(warm.worker, 1):.3f}, "
        f"web × {last.web / max(warm.web, 1):.3f}"
    )
