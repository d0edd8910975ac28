"""The account, taken inside one process: webhooks go into the hub's WSGI application, one after the other.

Run by `account` with the hub's environment; prints one JSON document.
"""

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.driver import Load, requests
from tests.bench.points import POINTS
from tests.bench.stopwatch import Spent, Stopwatch

_TABLE = re.compile(r'(?:FROM|INTO|UPDATE)\s+"?(\w+)"?', re.IGNORECASE)
_LISTS = re.compile(r"\(\s*%s(?:,\s*%s)*\s*\)(?:,\s*\(\s*%s(?:,\s*%s)*\s*\))*")


class Statements:
    """Each statement of every thread, as SQL, in order."""

    def __init__(self) -> None:
        self.list: list[str] = []

    def kind(self, _cursor: Any, sql: str, *_: Any) -> str:
        """`SQL SELECT webhooks_source`, and a note of the statement."""
        self.list.append(_shortened(sql))
        table = _TABLE.search(sql)
        return f"SQL {sql.split(None, 1)[0].upper()} {table[1] if table else ''}".strip()


def _shortened(sql: str) -> str:
    text = _LISTS.sub("(…)", " ".join(sql.replace('"', "").split()))
    return re.sub(r"^SELECT .*? FROM ", "SELECT … FROM ", text)[:300]


def take(mode: str, events: int) -> dict[str, Any]:
    """Send events one by one: first plain, then with every point watched."""
    from integration_hub.wsgi import application

    first = int(time.time() * 1000)
    load = Load(0, "/webhooks/aurora", 1, 0, 0, first, events * 4, events * 4, mode)
    ready = iter(requests(load))
    _send(application, ready, events)
    plain, plain_wall = _send(application, ready, events)
    watch, statements = _watched()
    _send(application, ready, events // 2)
    watch.start()
    total, _ = _send(application, ready, events)
    parts, number = watch.stop(), len(statements.list)
    statements.list.clear()
    watch.start()
    _send(application, ready, 1)
    watch.stop()
    return {
        "mode": mode,
        "cpu": plain / events * 1000,
        "wall": plain_wall / events * 1000,
        "watched_cpu": total / events * 1000,
        "statements": number / events,
        "one_event": statements.list,
        "missing": watch.missing,
        "parts": {name: _for_one(spent, events) for name, spent in parts.items()},
    }


def _for_one(spent: Spent, events: int) -> dict[str, float]:
    """Calls, and milliseconds of CPU and of time, an event."""
    return {
        "calls": spent.calls / events,
        "cpu": spent.cpu / events * 1000,
        "wall": spent.wall / events * 1000,
    }


def _watched() -> tuple[Stopwatch, Statements]:
    from django.db.backends.utils import CursorWrapper

    watch, statements = Stopwatch(), Statements()
    for part, dotted_names in POINTS.items():
        for dotted in dotted_names:
            watch.watch(part, dotted)
    for name in ("execute", "executemany"):
        setattr(CursorWrapper, name, watch.timed(statements.kind, getattr(CursorWrapper, name)))
    return watch, statements


def _send(application: Callable[..., Any], ready: Iterator[bytes], times: int) -> tuple[float, float]:
    """CPU seconds of the process and seconds, until nothing of these events is under way here."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        status = _call(application, next(ready))
        assert status.startswith("2"), status
    _wait_until_settled()
    return time.process_time() - cpu, time.perf_counter() - wall


def _wait_until_settled(patience: float = 30.0) -> None:
    """Threads of this process may have work left after the last answer: until it spends no CPU."""
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
    print(json.dumps(take(sys.argv[1], int(sys.argv[2]))))
