"""One measurement: a load on one subject, and the resources that the servers used."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from tests.bench.machinery.driver import Load
from tests.bench.machinery.processes import ROOT, Family
from tests.bench.machinery.servers import FORMATTED, USERS, Server
from tests.bench.machinery.systems import Systems

OPEN = "SELECT count(*) FROM sync_delivery WHERE state IN ('pending', 'running', 'retrying')"

_numbers = count(1_000_000, 1_000_000)  # each load has a million numbers of its own


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject of the comparison.

    `drains`: deliveries continue after the answer and are waited for. `holds`: the worker is stopped while requests
    come in, so that receiving is measured alone. `most`: requests prepared for one load.
    """

    name: str
    path: str
    calls: int
    respond: str = ""
    drains: bool = False
    holds: bool = False
    most: int = 2_000

    @property
    def is_hub(self) -> bool:
        return bool(self.respond)


NOTHING = Subject("nothing", "/nothing", 0)
INSERT = Subject("insert", "/insert", 0)
PLAIN = Subject("plain", "/plain", 3)
POOLED = Subject("pooled", "/pooled", 3)
RESULT = Subject("result", "/webhooks/aurora", 3, "result", most=12_000)
# The same webhooks, read by a format of ten expressions.
FORMAT = Subject("format", f"/webhooks/{FORMATTED}", 3, "result", most=12_000)
ACK = Subject("ack", "/webhooks/aurora", 3, "ack", drains=True, most=1_500)
INGEST = Subject("ingest", "/webhooks/aurora", 3, "ack", drains=True, holds=True, most=1_500)
SUBJECTS = (NOTHING, INSERT, PLAIN, POOLED, RESULT, FORMAT, ACK, INGEST)


@dataclass(slots=True)
class Figures:
    """The figures of one measurement.

    Times in milliseconds; CPU in milliseconds for each event of the steady part; memory in MB, of the web processes and
    the worker, once the load has ended; `stored`: bytes by which `sent` events made the database grow.

    For a subject that drains, CPU is counted until the last delivery has settled, over all events; `drain_rate` is
    deliveries a second from the end of the load on.
    """

    subject: str
    database: str
    clients: int
    delay: int
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    web_cpu: float = 0.0
    worker_cpu: float = 0.0
    database_cpu: float = 0.0
    memory: float = 0.0
    proportional_memory: float = 0.0
    sent: int = 0
    stored: int = 0
    calls: float = 0.0
    drain_rate: float = 0.0
    bad: dict[str, int] = field(default_factory=dict)
    first_bad: str = ""
    load_average: float = 0.0

    @property
    def cpu(self) -> float:
        """Return the CPU of every process, the database server's included: what the yardstick is compared with."""
        return self.web_cpu + self.worker_cpu + self.database_cpu


@dataclass(slots=True)
class _Spent:
    """CPU seconds of the three process families at one moment."""

    web: float
    worker: float
    database: float

    @classmethod
    def now(cls, server: Server) -> "_Spent":
        return cls(_cpu(server.web), _cpu(server.worker), _cpu(server.database.server))


def _cpu(family: Family | None) -> float:
    return family.cpu() if family else 0.0


def measure(
    server: Server, subject: Subject, systems: Systems, clients: int, delay: int, seconds: float
) -> Figures:
    """Run the load and return the figures of its steady part."""
    figures = Figures(subject.name, server.database.kind, clients, delay, load_average=os.getloadavg()[0])
    load = Load(
        port=server.port,
        path=subject.path,
        clients=clients,
        warm_up=0.0 if subject.drains else max(0.4, seconds * 0.3),
        seconds=seconds,
        first=next(_numbers),
        users=USERS,
        most=subject.most,
        respond=subject.respond,
        repeats=not subject.is_hub,
    )
    calls, size = systems.calls(delay), server.database.size()
    outcome, spent = _drive(server, load, figures, subject)
    events = outcome["sent"] if subject.drains else outcome["completed"]
    figures.rate = outcome["completed"] / outcome["seconds"]
    figures.p50, figures.p99 = outcome["p50"] * 1000, outcome["p99"] * 1000
    figures.web_cpu, figures.worker_cpu, figures.database_cpu = (
        seconds / max(events, 1) * 1000 for seconds in (spent.web, spent.worker, spent.database)
    )
    figures.calls = (systems.calls() - calls) / outcome["sent"]
    figures.bad = {status: number for status, number in outcome["statuses"].items() if status[0] != "2"}
    figures.first_bad = outcome["first_bad"]
    families = [family for family in (server.web, server.worker) if family]
    figures.memory = sum(family.memory() for family in families) / 2**20
    figures.proportional_memory = sum(family.proportional_memory() for family in families) / 2**20
    figures.sent, figures.stored = outcome["sent"], server.database.size() - size
    return figures


def _drive(server: Server, load: Load, figures: Figures, subject: Subject) -> tuple[dict[str, Any], _Spent]:
    held = server.worker if subject.holds else None
    command = [sys.executable, "-m", "tests.bench.machinery.driver", json.dumps(asdict(load))]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert driver.stdout is not None
    try:
        if held:
            held.signal(signal.SIGSTOP)
        assert driver.stdout.readline() == b"warm\n", "the driver broke"
        before = _Spent.now(server)
        line = driver.stdout.readline()
        after = _Spent.now(server)
        driver.wait(60)
        if held:
            held.signal(signal.SIGCONT)
        if subject.drains:
            figures.drain_rate = _drain(server)
            after = _Spent.now(server)
    finally:
        if held:
            held.signal(signal.SIGCONT)
        driver.kill()
        driver.wait()
    assert line, "the driver broke"
    spent = _Spent(after.web - before.web, after.worker - before.worker, after.database - before.database)
    return json.loads(line), spent


def _drain(server: Server, patience: float = 120) -> float:
    """Wait until no delivery is open. Returns the deliveries a second during the wait."""
    with server.database.reading() as read:
        began, open_then = time.perf_counter(), int(read(OPEN)[0][0])
        while read(OPEN)[0][0]:
            assert time.perf_counter() - began < patience, "deliveries do not settle"
            time.sleep(0.05)
        return open_then / max(time.perf_counter() - began, 0.001)
