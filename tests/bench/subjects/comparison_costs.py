"""The cost of a comparison (`--compare`): requests, time, memory, and what webhooks notice of it meanwhile."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.machinery.databases import Database, fresh_database
from tests.bench.machinery.servers import (
    Server,
    _environment,
    _hub_environment,
    _manage,
    links_statement,
    running_hub,
)
from tests.bench.machinery.stand_ins import user_name
from tests.bench.machinery.systems import Systems

STAND_INS = "tests.bench.machinery.listed_systems"
ROUTE = "aurora-user-shop"
PAGE = 100
# People in the runs that count requests, and those of one kind that are not in step.
COUNTED_PEOPLE, COUNTED = 1_000, 20
WEBHOOKS_A_SECOND, SENDERS, QUIET_SECONDS = 20, 4, 15.0
# A percentile of the fifty answers during one comparison would be one of the three slowest.
MIN_ANSWERS = 300
# The start of the worker is no part of a comparison, nor of its memory.
SETTLE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_MAX_SECONDS = 3_600.0


@dataclass(slots=True)
class ComparisonRun:
    """A comparison that has ended: its seconds, what it found, the requests that it sent, and the worker's memory."""

    people: int
    seconds: float
    counts: dict[str, int]
    requests: dict[str, int]
    over_idle: int = 0
    gaps: str = ""


@dataclass(slots=True)
class ComparisonFigures:
    """All figures of one database. `p95` in seconds, before and during a comparison."""

    kind: str
    by_kind: dict[str, ComparisonRun] = field(default_factory=dict)
    timed: ComparisonRun | None = None
    large: ComparisonRun | None = None
    p95: dict[str, float] = field(default_factory=dict)


def measure_comparisons(
    kind: str, systems: Systems, folder: Path, people: int, many: int
) -> ComparisonFigures:
    """Compare people with systems that answer at once: few of each kind, `people` alone and under load, and `many`.

    One hub after the other compares more people than before: fewer would make the list incomplete.
    """
    figures = ComparisonFigures(kind)
    with (
        fresh_database(kind, folder) as database,
        running_hub(database, systems, folder, variables={"ABSENCE_CONFIRM_SECONDS": "1"}) as hub,
    ):
        bench = ComparisonBench(
            hub, systems, _environment(database) | _hub_environment(database, systems, folder)
        )
        for name in ("alike", "differs", "missing", "gone"):
            differing = {} if name == "alike" else {name: COUNTED}
            figures.by_kind[name] = bench.compare(COUNTED_PEOPLE, **differing)
        figures.timed = bench.compare(people)
        figures.p95 = bench.measure_webhooks(people)
        figures.large = bench.compare(many)
    return figures


@dataclass(slots=True)
class ComparisonBench:
    """A running hub and the two systems that it compares."""

    hub: Server
    systems: Systems
    environment: dict[str, str]

    def compare(self, people: int, **differing: int) -> ComparisonRun:
        """Compare so many people, of whom a few are not in step."""
        self._set_people(people, differing)
        return self._compare(people)

    def _set_people(self, people: int, differing: dict[str, int]) -> None:
        query = "&".join(f"{name}={number}" for name, number in {"number": people, **differing}.items())
        self.systems.ask(f"people?{query}")
        self.hub.database.write(
            "DELETE FROM sync_link",
            links_statement(people),
            "UPDATE sync_link SET external_id_field = 'external_id'",
        )

    def _compare(self, people: int, began: Callable[[], object] = lambda: None) -> ComparisonRun:
        """Compare the people. `began` is called once the comparison runs."""
        assert self.hub.worker is not None
        idle, peak = self._idle_memory(), 0
        self.systems.ask("counts")
        before, has_begun = _newest(self.hub.database), False
        _manage(self.environment, "shell", "--command", _REQUEST)
        until = time.monotonic() + _MAX_SECONDS
        while (row := _newest(self.hub.database)) == before or row["state"] in ("waiting", "running"):
            assert time.monotonic() < until, f"the comparison did not end: {row}"
            if row != before and row["state"] == "running" and not has_begun:
                has_begun = True
                began()
            peak = max(peak, self.hub.worker.proportional_memory())
            time.sleep(_POLL_SECONDS)
        assert row["state"] == "done", row
        return ComparisonRun(
            people,
            (row["ended_at"] - row["started_at"]).total_seconds(),
            row["counts"],
            self.systems.ask("counts"),
            max(0, peak - idle),
            f"{row['identity_gap']}{row['target_gap']}",
        )

    def _idle_memory(self) -> int:
        """Return the least memory of the worker within some seconds: its last job may just be ending."""
        assert self.hub.worker is not None
        readings, until = [], time.monotonic() + SETTLE_SECONDS
        while not readings or time.monotonic() < until:
            readings.append(self.hub.worker.proportional_memory())
            time.sleep(_POLL_SECONDS)
        return min(readings)

    def measure_webhooks(self, people: int) -> dict[str, float]:
        """Return the 95th percentile of the answers to webhooks, when nothing else happens and during comparisons: as
        many as MIN_ANSWERS take.
        """
        self._set_people(people, {})
        with _webhooks(self.hub.port, self.systems, people) as answered:
            time.sleep(QUIET_SECONDS)
            quiet, meanwhile = answered.take(), list[float]()
            while len(meanwhile) < MIN_ANSWERS:
                # Its request starts a process, which is no part of it.
                self._compare(people, began=answered.take)
                meanwhile += answered.take()
        return {"quiet": _p95(quiet), "meanwhile": _p95(meanwhile)}


_REQUEST = f"""
from sync.comparisons.requests import request_comparison
from sync.models import ComparisonCause, Route
request_comparison(Route.objects.get(slug="{ROUTE}"), cause=ComparisonCause.COMMAND)
"""
_COLUMNS = ("id", "state", "counts", "started_at", "ended_at", "identity_gap", "target_gap")


def _newest(database: Database) -> dict[str, Any]:
    """Return the newest comparison; empty before there is one."""
    rows = database.rows(f"SELECT {', '.join(_COLUMNS)} FROM sync_comparison ORDER BY id DESC LIMIT 1")
    if not rows:
        return {}
    row = dict(zip(_COLUMNS, rows[0], strict=True))
    for name in ("started_at", "ended_at"):
        row[name] = datetime.fromisoformat(row[name]) if isinstance(row[name], str) else row[name]
    row["counts"] = json.loads(row["counts"]) if isinstance(row["counts"], str) else row["counts"]
    return row


class _Answered:
    """The seconds that answers took. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self._seconds.append(seconds)

    def take(self) -> list[float]:
        """Return the seconds of the answers since the last call."""
        with self._lock:
            taken, self._seconds = self._seconds, []
        return taken


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


@contextmanager
def _webhooks(port: int, systems: Systems, people: int) -> Iterator[_Answered]:
    """Let people change, each with a webhook whose answer is the result, so many a second: the last fifth of all."""
    stop, answered, begin = threading.Event(), _Answered(), people - people // 5

    def send(sender: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        due = time.monotonic() + sender / WEBHOOKS_A_SECOND
        for number in itertools.count(sender, SENDERS):
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            due += SENDERS / WEBHOOKS_A_SECOND
            person = begin + number % (people - begin)
            systems.ask(f"change?number={person}")
            body = {"id": user_name(person), "entityType": "USER", "eventType": "UPDATE"}
            began = time.monotonic()
            link.request(
                "POST", "/webhooks/aurora-unsigned", json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = link.getresponse()
            content = answer.read()
            assert answer.status < 300, content
            answered.add(time.monotonic() - began)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()
