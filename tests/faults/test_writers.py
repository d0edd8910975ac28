"""M9 for the whole hub on SQLite: web processes and workers write one file together, and nobody finds it locked.

A writer of the test stands in the same line and measures how long it waits. Runs once, whatever the suite's database.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from database.sqlite.writer_queue import WriterQueue
from tests.faults.consistency.checker import Report, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.source_driver import Driver, plan
from tests.support.processes.hub_processes import ROOT, WITH_WORKERS

pytestmark = [pytest.mark.faults, pytest.mark.pure, pytest.mark.worker_processes]

SEED = 20261124
PATIENCE_SECONDS, PROBE_SECONDS = 10.0, 0.02
WORST_SECONDS = 3.0
LOCKED = ("database is locked", "the database raised", "could not be finished", "the database is unavailable")
BEFORE_THE_LINE = """
import sys
from tests.faults.variants.mutants import Mutant, _Breaker

def deferred(databases):
    options = databases["default"]["OPTIONS"] | {"transaction_mode": "DEFERRED"}
    return {"default": databases["default"] | {"OPTIONS": options}}

sys.meta_path.insert(0, _Breaker(Mutant("Writers do not wait in line, and look before they lock.", {
    "integration_hub.settings:DATABASES": deferred,
    "database.sqlite.writer_queue:WriterQueue.acquire": lambda acquire: lambda self: None,
})))
"""


@dataclass
class Probe:
    """One more writer in the line. `waits`: seconds until its turn came, each time."""

    file: str
    waits: list[float] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Probe":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        line = WriterQueue(lambda: self.file, PATIENCE_SECONDS)
        while not self._stopped.wait(PROBE_SECONDS):
            asked = time.monotonic()
            line.acquire()
            line.release()
            self.waits.append(time.monotonic() - asked)

    def __str__(self) -> str:
        waits = sorted(self.waits)
        middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        return f"{len(waits)} turns, median {middle:.4f} s, p99 {late:.3f} s, worst {waits[-1]:.3f} s"


@dataclass(frozen=True, slots=True)
class Written:
    """What came of the load. `complaints`: lines of the processes' log that speak of a lock."""

    report: Report
    answers: Counter[str]
    probe: Probe
    complaints: list[str]
    per_second: float


@contextmanager
def fleet_on_sqlite(
    folder: Path, services: Services, patch: pytest.MonkeyPatch, each: int, **variables: str
) -> Iterator[Fleet]:
    """`each` web processes and as many workers on one file."""
    patch.setenv("HUB_TEST_DATABASE", "sqlite")
    chosen = {**WITH_WORKERS, "LOG_LEVEL": "WARNING"} | variables
    with running_fleet(folder, services, webs=each, workers=each, **chosen) as fleet:
        yield fleet


def write(fleet: Fleet, services: Services, webhooks: int) -> Written:
    """Send, while a writer more stands in line; drain; compare."""
    people = [f"PERSON{number}" for number in range(100)]
    driver = Driver(services[0], lambda: [each.port for each in fleet.webs])
    driver.add_people(people)
    started = time.monotonic()
    with Probe(fleet.hub.database) as probe:
        driver.run(plan(webhooks, webhooks // 10, people, SEED), 16)
        fleet.wait_until_idle(60)
    seconds = time.monotonic() - started
    complaints = complaints_of(fleet)
    report = observe(driver.sendings, *services, fleet.hub.rows)
    answers = Counter(str(each.status) for each in driver.sendings)
    return Written(report, answers, probe, complaints, webhooks / seconds)


def test_web_processes_and_workers_write_together_and_nobody_finds_the_file_locked(
    tmp_path: Path, services: Services, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet_on_sqlite(tmp_path, services, monkeypatch, 4) as fleet:
        found = write(fleet, services, 8000 if is_long else 800)
        with closing(sqlite3.connect(fleet.hub.database)) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    print(
        f"\n{found.per_second:.0f} webhooks/s delivered, {dict(found.answers)}; {found.probe}; {found.report}"
    )
    found.report.assert_clean()
    assert found.complaints == []
    assert set(found.answers) == {"200", "202"}
    assert max(found.probe.waits) < WORST_SECONDS


def test_writers_that_do_not_wait_in_line_are_caught(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup = tmp_path / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(BEFORE_THE_LINE)
    path = f"{startup}:{ROOT}"
    with fleet_on_sqlite(tmp_path, services, monkeypatch, 2, PYTHONPATH=path) as fleet:
        found = first_complaint(fleet, services)
    print(f"\n{found}")
    assert found


def first_complaint(fleet: Fleet, services: Services, seconds: float = 150.0) -> str:
    """Send until a process says that it found the file locked; nearly every transaction does. Empty if none does."""
    people, ends = [f"PERSON{number}" for number in range(100)], threading.Event()
    driver = Driver(services[0], lambda: [] if ends.is_set() else [web.port for web in fleet.webs])
    driver.add_people(people)

    def send() -> None:
        with suppress(IndexError):  # there is no port any more
            driver.run(plan(100, 10, people, SEED), 16)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        until = time.monotonic() + seconds
        while not (found := complaints_of(fleet)) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        ends.set()
        sending.join()
    return found[0] if found else ""


def complaints_of(fleet: Fleet) -> list[str]:
    """Lines of the processes' log that speak of a lock."""
    return [line for line in fleet.log.read_text().splitlines() if any(word in line for word in LOCKED)]
