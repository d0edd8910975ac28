"""Lanes that run one case: new database, send a webhook, kill at an operation, restart, drain, compare, send again."""

import http.client
import json
import os
import queue
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.checker import Report, Sending, observe
from tests.faults.enumeration.cases import Case, Outcome, Scenario
from tests.faults.load.native_source import ACK, Batch, Change, add_native_sources
from tests.support.database import postgresql
from tests.support.hub import SIGNING_SECRET, signature_headers
from tests.support.processes.hub_processes import JSON, ROOT, RunningHub, joined_hub

LEASE_SECONDS = "0.4"
WAIT_SECONDS = 90
NAME, PEOPLE = "msg_enumerated", ("ENUMERATED", "SECOND", "THIRD")
PERSON = PEOPLE[0]
BATCH = Batch(NAME, "", tuple(Change(f"event_{person}", person) for person in PEOPLE))


class Child:
    """One forked process of the server, which dies or serves one webhook."""

    def __init__(self, path: Path, task: Mapping[str, Any]) -> None:
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(WAIT_SECONDS)
        self._control.connect(str(path))
        self._control.sendall(json.dumps(task).encode() + b"\n")
        self._lines = self._control.makefile("rb")

    def port(self) -> int:
        """Return the port of the process; waits until it listens."""
        return int(self._next()["port"])

    def read_result(self) -> dict[str, Any]:
        """Wait for the end of the process and return its report: `died`, or its `operations`."""
        report: dict[str, Any] = {}
        with self._control, self._lines:
            for line in self._lines:
                report |= json.loads(line)
        return report

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline()
        report: dict[str, Any] = json.loads(line) if line else {"failed": "it died before it served"}
        assert "failed" not in report, report["failed"]
        return report


@dataclass
class Lane:
    """A runner of cases, one after the other, with its own server, stand-in services and prepared database."""

    hub: RunningHub
    identity: IdentityService
    shop: ShopService
    folder: Path
    server: Path
    sendings: list[Sending] = field(default_factory=list)

    def run(self, case: Case) -> Outcome:
        self._set_up(case.scenario)
        with self._copy() as (hub, name):
            report = self._run_first_process(name, case)
            leaves = {"leaves_to_workers": case.scenario.batch == ACK}
            second = Child(self.server, {"database": name, "drains": True, **leaves})
            port = second.port()
            drained = self._observe(hub)
            again = self._send(port, case.scenario)
            second.read_result()
            if case.scenario.batch == ACK and not drained.stored:
                Child(self.server, {"database": name, "drains": True, "serves": False}).read_result()
            final, integrity = self._observe(hub), _integrity(hub)
            operations = tuple(report.get("operations", ()))
            examined = Child(self.server, {"database": name, "serves": False, "examines": True}).read_result()
            findings = tuple(examined["findings"])
            return Outcome(case, report.get("died"), operations, drained, final, again, integrity, findings)

    def _run_first_process(self, name: str, case: Case) -> dict[str, Any]:
        """Run the process that is to be killed. Returns its last report."""
        kill = {"database": name, "at": case.at, "after": case.after, "cuts": case.cuts}
        if case.scenario.batch == ACK:
            kill["leaves_to_workers"] = True
        if not case.scenario.is_deferred:
            web = Child(self.server, kill)
            self._send(web.port(), case.scenario)
            return web.read_result()
        web = Child(self.server, {"database": name, "leaves_to_workers": True})
        self._send(web.port(), case.scenario)
        web.read_result()
        return Child(self.server, kill | {"drains": True, "serves": False}).read_result()

    def _observe(self, hub: RunningHub) -> Report:
        return observe(self.sendings, self.identity, self.shop, hub.rows)

    def _set_up(self, scenario: Scenario) -> None:
        self.sendings.clear()
        for service in (self.identity, self.shop):
            service.reset()
        for person in PEOPLE[: scenario.events]:
            name = person.lower()
            emails = [{"address": f"{name}.v2@example.com", "verified": True}]
            self.identity.directory.create_record("users", {"id": person, "username": name, "emails": emails})
            if scenario.exists:
                old = {"external_id": person, "email": f"{name}.v1@example.com"}
                self.shop.catalogue.create_record("customers", old)
        if scenario.fails_once:
            self.shop.faults.add("error", status=503, times=1, methods=["POST", "PATCH", "PUT"])

    def _send(self, port: int, scenario: Scenario) -> tuple[int | None, str]:
        """Send the signed webhook. Returns the HTTP status and the status word of the answer, as far as it was received."""
        body, sent_at, status, word = _body(scenario), time.monotonic(), None, ""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        with suppress(OSError, http.client.HTTPException, ValueError):
            path = f"/webhooks/{scenario.batch or 'aurora'}"
            connection.request("POST", path, body, JSON | signature_headers(body, NAME))
            answer = connection.getresponse()
            status = answer.status
            word = str(json.loads(answer.read()).get("status"))
        connection.close()
        if scenario.batch:
            self.sendings += (
                Sending(change.event_id, change.entity, sent_at, status) for change in BATCH.changes
            )
        else:
            self.sendings.append(Sending(NAME, PERSON, sent_at, status))
        return status, word

    @contextmanager
    def _copy(self) -> Iterator[tuple[RunningHub, str]]:
        """Copy the prepared database. Yields the hub on the copy and the NAME of the copy for Django."""
        if not self.hub.database.startswith("postgres"):
            path = self.folder / f"case_{secrets.token_hex(4)}.sqlite3"
            shutil.copy(self.hub.database, path)
            yield RunningHub(str(path), self.hub.environment), str(path)
            for file in self.folder.glob(f"{path.name}*"):
                file.unlink()
            return
        server, _, template = self.hub.database.rpartition("/")
        name = f"case_{secrets.token_hex(6)}"
        with psycopg.connect(postgresql.url(), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            try:
                yield RunningHub(f"{server}/{name}", self.hub.environment), name
            finally:
                link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _body(scenario: Scenario) -> bytes:
    if scenario.batch:
        return BATCH.body
    kind = "UPDATE" if scenario.exists else "CREATE"
    respond = {"mode": "ack" if scenario.is_deferred else "result", "wait": scenario.wait_seconds * 1000}
    return json.dumps({"id": PERSON, "entityType": "USER", "eventType": kind, "respond": respond}).encode()


def _integrity(hub: RunningHub) -> str:
    """Return "ok" or the fault that SQLite's integrity check finds. PostgreSQL would need an extension for this check."""
    if hub.database.startswith("postgres"):
        return "ok"
    link = sqlite3.connect(hub.database)
    try:
        return str(link.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        link.close()


@contextmanager
def open_lane(folder: Path) -> Iterator[Lane]:
    """Yield a lane that is ready, with native sources too."""
    folder.mkdir()
    variables = {"LEASE_SECONDS": LEASE_SECONDS, "LOG_LEVEL": "INFO"}
    with (
        IdentityService(secret=SIGNING_SECRET) as identity,
        ShopService() as shop,
        joined_hub(folder, identity, shop, **variables) as hub,
    ):
        add_native_sources(hub)
        hub.write("UPDATE webhooks_source SET wait_seconds = 30")  # for a slow machine
        _close_journal(hub)
        with _server(hub, folder) as server:
            yield Lane(hub, identity, shop, folder, server)


def _close_journal(hub: RunningHub) -> None:
    """Write SQLite's log into the database file, so that a copy of this file is the whole database."""
    if not hub.database.startswith("postgres"):
        link = sqlite3.connect(hub.database)
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        link.close()


@contextmanager
def _server(hub: RunningHub, folder: Path) -> Iterator[Path]:
    path = Path(f"/tmp/hub-{secrets.token_hex(6)}.socket")
    command = [sys.executable, "-m", "tests.faults.enumeration.server", str(path)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=hub.environment, stderr=log, start_new_session=True)
    try:
        _wait_for(path.exists, process, folder / "server.log")
        yield path
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        path.unlink(missing_ok=True)


def _wait_for(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert process.poll() is None, f"the server ended at its start: {log.read_text()}"
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.02)


def run_all(lanes: Sequence[Lane], cases: Iterable[Case]) -> list[Outcome]:
    """Run each case on a free lane. Returns the outcomes in the order of the cases."""
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def run(case: Case) -> Outcome:
        lane = free.get()
        try:
            return lane.run(case)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(len(lanes)) as threads:
        return list(threads.map(run, cases))
