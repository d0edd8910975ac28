"""The cost of an export, and its completeness while events come in (`--export --events 100000`).

Before events come in, an event and all of its rows are deleted from the database: the check of the export by its
README must report it as missing, and nothing else.

Run with the hub's environment it measures in a separate process: `python -m tests.bench.subjects.exports <folder>`.
"""

import gc
import http.client
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from config_schema.codes.reference import to_reference
from tests.bench.machinery.databases import Database, fresh_database
from tests.bench.machinery.processes import ROOT, size_of
from tests.bench.machinery.servers import _environment, _hub_environment, prepare_hub, running_hub
from tests.bench.machinery.systems import Systems
from tests.bench.subjects.growth import _fill, say_filled
from tests.support.database import postgresql

REPEATS = 3
A_SECOND = 50
SENDERS = 8
TURNS, TURN_SECONDS = 3, 12.0
_SAME_ROWS = """SELECT e.uuid, s.slug, e.event_id, e.entity_type, e.entity_id, e.event_type, e.occurred_at, e.received_at,
    e.is_signed, e.state, e.code, e.digest FROM webhooks_event e JOIN webhooks_source s ON s.id = e.source_id ORDER BY e.id"""


def measure_export(kind: str, systems: Systems, folder: Path, events: int) -> dict[str, Any]:
    """Fill a hub, then export it at rest and while fifty events a second come in."""
    with fresh_database(kind, folder) as database:
        environment = prepare_hub(database, systems, folder)
        say_filled(kind, events, _fill(environment, folder, events, "bare"))
        _python(environment, folder, "tests.bench.subjects.exports", str(folder), "settle")
        at_rest = json.loads(
            _python(environment, folder, "tests.bench.subjects.exports", str(folder), _psql(database))
        )
        return {"database": kind, **at_rest, "meanwhile": _export_during_load(database, systems, folder)}


def _delete_one(database: Database) -> str:
    """Delete an event from the middle, as a user of the database could. Returns its reference."""
    ((key, uuid),) = database.rows(
        "SELECT id, uuid FROM webhooks_event WHERE id = (SELECT max(id) / 2 FROM webhooks_event)"
    )
    deliveries = f"SELECT id FROM sync_delivery WHERE event_id = {key}"
    attempts = f"SELECT id FROM sync_attempt WHERE delivery_id IN ({deliveries})"
    database.write(
        f"DELETE FROM sync_call WHERE attempt_id IN ({attempts})",
        f"DELETE FROM sync_attempt WHERE delivery_id IN ({deliveries})",
        f"DELETE FROM sync_delivery WHERE event_id = {key}",
        f"DELETE FROM webhooks_receipt WHERE event_id = {key}",
        f"DELETE FROM webhooks_event WHERE id = {key}",
    )
    return to_reference(UUID(str(uuid)))


def _python(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    """Run Python in a separate session, as a worker runs an export. Returns its output."""
    surroundings = environment | {"EXPORT_FOLDER": str(folder / "exports")}
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=7200, start_new_session=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def _psql(database: Database) -> str:
    """Return the command of psql's own COPY of the same rows; an empty one on SQLite."""
    programs = postgresql.server_programs()
    if database.file is not None or programs is None:
        return ""
    copy = f"\\copy ({' '.join(_SAME_ROWS.split())}) to /dev/null csv"
    return json.dumps([str(programs / "psql"), database.url, "-q", "-c", copy])


def _export_during_load(database: Database, systems: Systems, folder: Path) -> dict[str, Any]:
    """Export while events come in. Returns missing and doubled events, and the results of its checkers."""
    environment = _environment(database) | _hub_environment(database, systems, folder)
    deleted = _delete_one(database)
    uuids = database.rows("SELECT uuid FROM webhooks_event")
    there = {to_reference(UUID(str(uuid))) for (uuid,) in uuids}
    with running_hub(database, systems, folder) as hub, _coming_in(hub.port) as coming:
        time.sleep(2)
        at_rest, computing = [], []
        for _ in range(TURNS):
            coming.take()
            time.sleep(TURN_SECONDS)
            at_rest += coming.take()
            _python(environment, folder, "tests.bench.subjects.exports", str(folder), "compute")
            computing += coming.take()
        began = time.monotonic()
        made = json.loads(
            _python(environment, folder, "tests.bench.subjects.exports", str(folder), "meanwhile")
        )
        answered, spent = coming.take(), time.monotonic() - began
    archive = Path(made["archive"])
    with zipfile.ZipFile(archive) as packed:
        written = [json.loads(line)["reference"] for line in packed.open("export/events.jsonl")]
        sealed = {
            stream for line in packed.open("export/entries.jsonl") if (stream := _first_entry_reference(line))
        }
        packed.extractall(folder / "unpacked")
    archive.unlink()
    known = set(written)
    return {
        **made,
        "came": len(answered),
        "a_second": len(answered) / spent,
        "p95": {"at rest": _p95(at_rest), "computing": _p95(computing), "meanwhile": _p95(answered)},
        "rows": len(written),
        "doubled": len(written) - len(known),
        "missing": len((sealed | there) - known - {deleted}),
        "checked": _check(folder / "unpacked" / "export", deleted),
    }


def _check(folder: Path, deleted: str) -> dict[str, Any]:
    """Run both checkers with plain Python. Returns their results, and True if they report only the deleted event."""
    took, said = {}, {}
    for name in ("verify.py", "check_rows.py"):
        command = ["env", "-i", sys.executable, "-I", name, "."]
        began = time.monotonic()
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        took[name], said[name] = time.monotonic() - began, (result.returncode, result.stdout + result.stderr)
    shutil.rmtree(folder)
    faults = [line for line in said["check_rows.py"][1].splitlines() if line.startswith("FAULT")]
    return {
        "seconds": took,
        "entries": said["verify.py"],
        "found": len(faults) == 1 and deleted in faults[0] and "has no row" in faults[0],
        "faults": faults[:3],
    }


def _first_entry_reference(line: bytes) -> str:
    """Return the reference of an event if this is its first entry; an empty string for all other entries."""
    entry = json.loads(line)
    kind, _, reference = entry["stream"].partition(":")
    return (
        reference
        if kind == "event" and entry["stream_seq"] == 1 and entry["action"] == "webhook.received"
        else ""
    )


class _Coming:
    """The answers to the senders."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._lock = threading.Lock()

    def answered(self, seconds: float) -> None:
        with self._lock:
            self._seconds.append(seconds)

    def take(self) -> list[float]:
        """Return the seconds of the answers since the last call."""
        with self._lock:
            found, self._seconds = self._seconds, []
        return found


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


@contextmanager
def _coming_in(port: int) -> Iterator[_Coming]:
    """Send fifty webhooks a second, from enough senders for answers of a sixth of a second."""
    stop, coming = threading.Event(), _Coming()

    def send(sender: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        due = time.monotonic() + sender / A_SECOND
        for number in itertools.count(sender, SENDERS):
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            body = {
                "id": f"U{number % 20_000:07}",
                "entityType": "USER",
                "eventType": "UPDATE",
                "respond": "ack",
            }
            began = time.monotonic()
            link.request(
                "POST", "/webhooks/aurora-unsigned", json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = link.getresponse()
            answer.read()
            if answer.status < 300:
                coming.answered(time.monotonic() - began)
            due += SENDERS / A_SECOND

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield coming
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _timed(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def _settle() -> None:
    """Seal and count the filled rows, so that no worker does it during the measurement."""
    from sync.housekeeping.audit_upkeep import seal_audit
    from sync.statistics.periodic_recount import recount_stale_hours

    while seal_audit() > 1:
        pass
    while recount_stale_hours(seconds=60.0):
        pass


def _compute() -> None:
    """Use CPU without a database, a file or the hub, as any background work on the same cores would."""
    noise, end = os.urandom(100_000), time.monotonic() + TURN_SECONDS
    while time.monotonic() < end:
        zlib.compress(noise)


def _measure(folder: Path, psql: list[str]) -> dict[str, Any]:
    """Measure at rest, in this process: both ways to write the CSV, psql, then a whole export."""
    from database.connection import streaming_transaction
    from exports.tables import csv_writer
    from webhooks.models import Event

    idle = _warm_up()
    events = Event.objects.order_by("id")

    def write(way: Any) -> None:
        with streaming_transaction(), (folder / "events.csv").open("wb") as file:
            for _, block in way(events, "system"):
                file.write(block)

    taken: dict[str, list[float]] = {"psql": [], "csv": [], "orm": []}
    for _ in range(REPEATS):
        if psql:
            taken["psql"].append(_timed(lambda: subprocess.run(psql, check=True)))
        taken["csv"].append(
            _timed(lambda: write(csv_writer.copy_csv_blocks if psql else csv_writer.read_csv_blocks))
        )
        taken["orm"].append(_timed(lambda: write(csv_writer.read_csv_blocks)))
    found = {**taken, **_make(idle)}
    Path(found["archive"]).unlink()
    return found


def _warm_up() -> int:
    """Return the resident bytes at rest of a process that has made an empty export."""
    from django.utils import timezone

    from exports.jobs import lifecycle
    from sync.search.event_filter import resolve_filter

    nothing = lifecycle.make_export_in_process(
        resolve_filter({"source": "nowhere"}, timezone.now()), reason="benchmark, warming up"
    )
    assert nothing.state == "done", nothing.failure
    gc.collect()
    return size_of(os.getpid(), "status", "VmRSS")


def _make(idle: int, goes_on: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """Make a whole export in this process. Returns its duration, its size and the peak memory of the process."""
    from django.utils import timezone

    from exports.jobs import lifecycle
    from sync.search.event_filter import resolve_filter

    began = time.monotonic()
    export = lifecycle.make_export_in_process(
        resolve_filter({}, timezone.now()), reason="benchmark", should_continue=goes_on
    )
    assert export.state == "done", export.failure
    memory = {"idle": idle, "peak": size_of(os.getpid(), "status", "VmHWM")}
    facts = {
        "events": export.total,
        "size": export.size,
        "counts": export.counts,
        "archive": str(export.archive),
    }
    return {"seconds": time.monotonic() - began, **memory, **facts}


if __name__ == "__main__":
    import django

    django.setup()
    if sys.argv[2] == "settle":
        _settle()
    elif sys.argv[2] in ("compute", "meanwhile"):
        from sync.worker.job_process import lower_priority, yield_cpu_when_busy

        lower_priority()
        if sys.argv[2] == "compute":
            _compute()
        else:
            print(json.dumps(_make(_warm_up(), yield_cpu_when_busy(lambda: True))))
    else:
        print(json.dumps(_measure(Path(sys.argv[1]), json.loads(sys.argv[2] or "[]"))))
