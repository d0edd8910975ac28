"""Web processes and workers write one SQLite file together, and none of them finds it locked.

A writer of the test waits in the same queue and measures its waits. Runs once, whatever the database of the run.
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
    """One more writer in the queue. `waits`: the seconds of each wait for its turn."""

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
            began = time.monotonic()
            line.acquire()
            line.release()
            self.waits.append(time.monotonic() - began)

    def __str__(self) -> str:
        waits = sorted(self.waits)
        middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        return f"{len(waits)} turns, median {middle:.4f} s, p99 {late:.3f} s, worst {waits[-1]:.3f} s"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of the load. `complaints`: lines of the processes' log that report a lock."""

    report: Report
    answers: Counter[str]
    probe: Probe
    complaints: list[str]
    per_second: float


@contextmanager
def fleet_on_sqlite(
    folder: Path, services: Services, patch: pytest.MonkeyPatch, count: int, **variables: str
) -> Iterator[Fleet]:
    """Run `count` web processes and as many workers on one SQLite file."""
    patch.setenv("HUB_TEST_DATABASE", "sqlite")
    chosen = {**WITH_WORKERS, "LOG_LEVEL": "WARNING"} | variables
    with running_fleet(folder, services, webs=count, workers=count, **chosen) as fleet:
        yield fleet


def run_writers(fleet: Fleet, services: Services, webhooks: int) -> WriteResult:
    """Send webhooks while the test's own writer waits in the queue too; drain; compare."""
    people = [f"PERSON{number}" for number in range(100)]
    driver = Driver(services[0], lambda: [web.port for web in fleet.webs])
    driver.add_people(people)
    started = time.monotonic()
    with Probe(fleet.hub.database) as probe:
        driver.run(plan(webhooks, webhooks // 10, people, SEED), 16)
        fleet.wait_until_idle(60)
    seconds = time.monotonic() - started
    complaints = complaints_of(fleet)
    report = observe(driver.sendings, *services, fleet.hub.rows)
    answers = Counter(str(sending.status) for sending in driver.sendings)
    return WriteResult(report, answers, probe, complaints, webhooks / seconds)


def test_web_processes_and_workers_write_together_and_none_finds_the_file_locked(
    tmp_path: Path, services: Services, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet_on_sqlite(tmp_path, services, monkeypatch, 4) as fleet:
        written = run_writers(fleet, services, 8000 if is_long else 800)
        with closing(sqlite3.connect(fleet.hub.database)) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    print(
        f"\n{written.per_second:.0f} webhooks/s delivered, {dict(written.answers)}; {written.probe}; {written.report}"
    )
    written.report.assert_clean()
    assert written.complaints == []
    assert set(written.answers) == {"200", "202"}
    assert max(written.probe.waits) < WORST_SECONDS


def test_writers_that_bypass_the_queue_are_caught(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup = tmp_path / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(BEFORE_THE_LINE)
    path = f"{startup}:{ROOT}"
    with fleet_on_sqlite(tmp_path, services, monkeypatch, 2, PYTHONPATH=path) as fleet:
        complaint = first_complaint(fleet, services)
    print(f"\n{complaint}")
    assert complaint


def first_complaint(fleet: Fleet, services: Services, seconds: float = 150.0) -> str:
    """Send webhooks until a process reports a locked file. Returns the report, or an empty string after `seconds`."""
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
        while not (complaint := complaints_of(fleet)) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        ends.set()
        sending.join()
    return complaint[0] if complaint else ""


def complaints_of(fleet: Fleet) -> list[str]:
    """Return the lines of the processes' log that report a lock."""
    return [line for line in fleet.log.read_text().splitlines() if any(word in line for word in LOCKED)]
