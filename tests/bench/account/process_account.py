"""An account taken inside one process, which sends webhooks to the hub's WSGI application one after the other.

Run by `cpu_account` with the hub's environment; prints one JSON document.
"""

import io
import json
import re
import sys
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from database import statement as sql
from sync.worker.process_tuning import pin_to_one_core
from tests.bench.account.module_moves import ModuleMoves, counted_moves
from tests.bench.account.points import POINTS
from tests.bench.account.stopwatch import Spent, Stopwatch
from tests.bench.machinery.driver import Load, requests
from tests.support.database.write_batches import split_statement

_TABLE = re.compile(r'(?:FROM|INTO|UPDATE)\s+"?(\w+)"?', re.IGNORECASE)
_LISTS = re.compile(r"\(\s*%s(?:,\s*%s)*\s*\)(?:,\s*\(\s*%s(?:,\s*%s)*\s*\))*")
_VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_FRAME = "transactions: begin and end"


class Statements:
    """A list of all SQL statements and commits of every thread, in order."""

    def __init__(self) -> None:
        self.list: list[str] = []

    def through_the_orm(self, _cursor: Any, sql: str, *_: Any) -> str:
        """Note a statement of the ORM. Returns its part, such as `SQL SELECT webhooks_source`."""
        verb = sql.split(None, 1)[0].upper()
        if verb not in _VERBS:
            return _FRAME
        if verb == "WITH":
            parts = split_statement(sql)
            self.list += [f"({len(parts)} together) {_shortened(part)}" for part in parts]
            return "SQL: writes that travel together"
        self.list.append(_shortened(sql))
        table = _TABLE.search(sql)
        return f"SQL {verb} {table[1] if table else ''}".strip()

    def past_the_orm(self, connection: Any, sql: str, *_: Any) -> str:
        """Note a statement of `database.statement.execute_sql` and return its part.

        Leaves out one that runs through the ORM's cursor anyway (a single write on SQLite). A statement outside a
        transaction commits itself.
        """
        is_alone = not (connection.in_atomic_block or sql.startswith("SELECT"))
        if is_alone and connection.vendor == "sqlite":
            return _FRAME
        part = self.through_the_orm(None, sql)
        if is_alone:
            self.list.append(COMMIT)
        return part

    def commit(self, *_: Any) -> str:
        self.list.append(COMMIT)
        return "commits"


COMMIT = "COMMIT"
_COUNTED_EVENTS = 3


def _shortened(sql: str) -> str:
    text = _LISTS.sub("(…)", " ".join(sql.replace('"', "").split()))
    return re.sub(r"^SELECT .*? FROM ", "SELECT … FROM ", text)[:300]


def measure_account(mode: str, events: int) -> dict[str, Any]:
    """Send events one by one: first without, then with the stopwatch on every point.

    `result` and `ack` are the work of the web process; `worker` is the work of a worker for an `ack` event. Each runs
    on one core, as both processes do.
    """
    # Before the executor starts its threads. On two cores, an event that passes from thread to thread costs half more.
    pin_to_one_core()
    work = Work(mode, events * 4 + 2 + _COUNTED_EVENTS)
    work.run(events)
    plain, plain_wall = work.run(events)
    moves = work.count_moves()
    watch, statements = _watched()
    work.run(events // 2)
    work.run(events, watch, statements)
    parts, listed = watch.stop(), statements.list
    commits = listed.count(COMMIT)
    statements.list = []
    work.run(1, watch, statements)
    return {
        "mode": mode,
        "cpu": plain / events * 1000,
        "wall": plain_wall / events * 1000,
        "statements": (len(listed) - commits) / events,
        "commits": commits / events,
        "one_event": statements.list,
        "moves": moves,
        "missing": watch.missing,
        "parts": {name: _for_one(spent, events) for name, spent in parts.items()},
    }


class Work:
    """A runner of events, one after the other, in this process."""

    def __init__(self, mode: str, most: int) -> None:
        from integration_hub.wsgi import application

        respond = "result" if mode == "result" else "ack"
        first = int(time.time() * 1000)
        load = Load(0, "/webhooks/aurora", 1, 0, 0, first, users=most, most=most, respond=respond)
        self._application = application
        self._ready = iter(requests(load))
        self._delivers = mode == "worker"

    def run(
        self, events: int, watch: Stopwatch | None = None, statements: Statements | None = None
    ) -> tuple[float, float]:
        """Run events, with the stopwatch if given. Returns the CPU seconds of the process and the elapsed seconds."""
        if self._delivers:
            self._send(events)
        due = self._due(events) if self._delivers else []
        if watch and statements:
            statements.list = []
            watch.start()
        cpu, wall = time.process_time(), time.perf_counter()
        if self._delivers:
            self._deliver(due)
        else:
            self._send(events)
        spent = time.process_time() - cpu, time.perf_counter() - wall
        if watch:
            watch.stop()
        return spent

    def count_moves(self) -> dict[str, Any]:
        """Count the calls of one event from module to module: of three events the one with the fewest, because a cache
        that expires meanwhile is read again.
        """
        summaries = [self._count_moves_once().summary() for _ in range(_COUNTED_EVENTS)]
        return min(summaries, key=itemgetter("calls"))

    def _count_moves_once(self) -> ModuleMoves:
        if self._delivers:
            self._send(1)
        due = self._due(1) if self._delivers else []
        with counted_moves() as moves:
            if self._delivers:
                self._deliver(due)
            else:
                self._send(1)
        return moves

    def _send(self, times: int) -> None:
        for _ in range(times):
            status = _call(self._application, next(self._ready))
            assert status.startswith("2"), status
        _wait_until_settled()

    def _due(self, events: int) -> list[int]:
        from sync.deliveries.due_deliveries import find_due_ids

        due = find_due_ids()
        assert len(due) == events, f"{len(due)} deliveries are due, not {events}"
        return due

    def _deliver(self, due: list[int]) -> None:
        from sync.execution.executor import run_with_next

        for delivery_id in due:
            run_with_next(delivery_id)


def _for_one(spent: Spent, events: int) -> dict[str, float]:
    """Return calls, and milliseconds of CPU and elapsed time, of one event."""
    return {
        "calls": spent.calls / events,
        "cpu": spent.cpu / events * 1000,
        "wall": spent.wall / events * 1000,
    }


def _watched() -> tuple[Stopwatch, Statements]:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    watch, statements = Stopwatch(), Statements()
    watch.calibrate()
    for part, dotted_names in POINTS.items():
        for dotted in dotted_names:
            watch.watch(part, dotted)
    watched = (
        (CursorWrapper, "execute", statements.through_the_orm),
        (CursorWrapper, "executemany", statements.through_the_orm),
        (sql, "execute_sql", statements.past_the_orm),
        (BaseDatabaseWrapper, "commit", statements.commit),
    )
    for owner, name, part_of in watched:
        setattr(owner, name, watch.timed(part_of, getattr(owner, name)))
    return watch, statements


def _wait_until_settled(patience: float = 30.0) -> None:
    """Wait until this process uses no CPU: its threads may still work after the last answer."""
    until, before = time.monotonic() + patience, -1.0
    while (now := time.process_time()) - before > 0.002 and time.monotonic() < until:
        before = now
        time.sleep(0.05)


def _call(application: Callable[..., Any], request: bytes) -> str:
    head, _, body = request.partition(b"\r\n\r\n")
    statuses: list[str] = []
    answer = application(_environ(head.decode(), body), lambda status, _headers, *_: statuses.append(status))
    for _ in answer:
        pass
    answer.close()
    return statuses[0]


def _environ(head: str, body: bytes) -> dict[str, Any]:
    first, *lines = head.split("\r\n")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": first.split(" ")[1],
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
    }
    for line in lines:
        name, value = line.split(": ", 1)
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ


if __name__ == "__main__":
    print(json.dumps(measure_account(sys.argv[1], int(sys.argv[2]))))
