"""An export shows one state of the database despite concurrent writes; a killed one is resumed."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from exports.bundle import builder
from exports.bundle.builder import key_file_path
from exports.bundle.shipped import check_rows
from exports.jobs import lifecycle
from exports.jobs.lifecycle import EXPORT_JOB
from exports.models import Export, ExportedPerson, ExportState
from sync.housekeeping.audit_upkeep import seal_audit
from sync.jobs.claims import DIED_MESSAGE, claim_next_job
from sync.jobs.running_job import RunningJob
from sync.models import Attempt, Call, Connection, Delivery, Job
from tests.exports.interrupted_exports import Killed, before_chunk, elsewhere, killed, killed_at
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    delete_event_rows,
    read_lines,
    run_readme_commands,
    save_checkpoint,
    unpack_export,
)
from tests.support.builders.history import a_source, an_event
from tests.support.jobs import end_leases, run_jobs
from tests.support.people import entries
from tests.support.processes.hub_processes import ROOT
from webhooks.models import Event, Receipt, Source

pytestmark = pytest.mark.concurrent


@pytest.mark.promise("I18")
def test_an_export_killed_half_way_is_resumed_and_has_every_row_once(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    events = a_recorded_history(9)
    export = killed_at(monkeypatch, chunk=3)
    assert (export.state, export.position, export.total) == (ExportState.RUNNING, 4, 9)
    with (export.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"reference":"half a li')
    a_recorded_event(20)
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.DONE
    folder = unpack_export(export, tmp_path)
    assert [row["reference"] for row in read_lines(folder, "events")] == [event.reference for event in events]
    assert export.counts["attempts"] == len(read_lines(folder, "attempts")) == 9
    assert [part["first_event"] for part in check_json(folder)["parts"]] == [1, 5]
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
    assert not key_file_path(export).exists()
    assert not export.folder.exists()


def check_json(folder: Path) -> dict[str, Any]:
    rows = check_rows.RowChecker(str(folder))
    assert rows.check_export() == []
    return rows.metadata


@pytest.mark.submission
@pytest.mark.parametrize("lost", ["events.jsonl", "some keys"])
def test_an_export_whose_files_are_lost_begins_again(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None, lost: str
) -> None:
    a_recorded_history(6)
    export = killed_at(monkeypatch, chunk=3)
    path = export.folder / "events.jsonl" if lost == "events.jsonl" else key_file_path(export)
    path.write_bytes(path.read_bytes()[:-8])
    a_recorded_event(20)
    run_jobs("export")
    export.refresh_from_db()
    folder = unpack_export(export, tmp_path)
    assert export.total == len(read_lines(folder, "events")) == 7
    assert [part["first_event"] for part in check_json(folder)["parts"]] == [1]


@pytest.mark.submission
@pytest.mark.parametrize("step", ["write_table", "pack_archive"])
def test_an_export_killed_in_another_step_is_completed(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    a_recorded_history(4)
    export = a_requested_export()
    with monkeypatch.context() as patch:
        patch.setattr(builder, step, lambda *_: killed())
        with pytest.raises(Killed):
            run_jobs("export")
    end_leases()
    run_jobs("export")
    export.refresh_from_db()
    folder = unpack_export(export, tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
    assert len(read_lines(folder, "events")) == 4


@pytest.mark.promise("I18")
def test_concurrent_writes_are_not_in_an_export_and_are_not_blocked(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    """Without the snapshot, later rows and joined rows would contain concurrent changes."""
    events = a_recorded_history(6)

    def write() -> None:
        elsewhere(lambda: Event.objects.filter(pk__in=[events[0].pk, events[5].pk]).update(state="dead"))
        elsewhere(
            lambda: [manager.update(code="meanwhile") for manager in (Receipt.objects, Delivery.objects)]
        )
        elsewhere(lambda: [Attempt.objects.update(outcome="meanwhile"), Call.objects.update(status=299)])
        elsewhere(lambda: a_recorded_event(30))
        elsewhere(seal_audit)
        elsewhere(lambda: [manager.update(slug=F("id")) for manager in (Source.objects, Connection.objects)])

    before_chunk(monkeypatch, 2, write)
    folder = unpack_export(a_finished_export(), tmp_path)
    assert [row["reference"] for row in read_lines(folder, "events")] == [event.reference for event in events]
    columns = [("events", "state"), ("events", "source"), ("receipts", "code"), ("deliveries", "code")]
    columns += [
        ("deliveries", "target"),
        ("attempts", "outcome"),
        ("calls", "status"),
        ("calls", "connection"),
    ]
    for table, column in columns:
        seen = {row[column] for row in read_lines(folder, table)}
        assert len(seen) == 1, f"{column} of {table}: {seen}"
    assert check_rows.RowChecker(str(folder)).check_export() == []


@pytest.mark.submission
def test_an_event_deleted_during_an_interruption_is_counted_as_deleted(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    events = a_recorded_history(6)
    export = killed_at(monkeypatch, chunk=2)
    delete_event_rows(events[4])
    run_jobs("export")
    export.refresh_from_db()
    folder = unpack_export(export, tmp_path)
    assert len(read_lines(folder, "events")) == export.counts["events"] == 5
    faults = check_rows.RowChecker(str(folder)).check_export()
    assert [fault for fault in faults if "has no row" in fault] == faults
    assert len(faults) == 1


@pytest.mark.submission
def test_a_cancelled_export_ends_within_a_moment_and_leaves_no_files(
    database: None, monkeypatch: pytest.MonkeyPatch, small_chunks: None, exports: Path
) -> None:
    a_recorded_history(9)
    export = a_requested_export()
    before_chunk(
        monkeypatch,
        2,
        lambda: elsewhere(lambda: lifecycle.cancel_export(export, by="person:1", address="127.0.0.1")),
    )
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.CANCELLED
    assert Job.objects.get().state == "cancelled"
    assert list(exports.iterdir()) == []
    assert not ExportedPerson.objects.exists()
    assert entries("export.cancelled")[0]["actor"] == "person:1"
    assert not entries("export.completed")
    assert not lifecycle.cancel_export(export, by="person:1", address=""), "it has ended"


@pytest.mark.nightly
def test_memory_does_not_grow_with_the_events(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "CHUNK_SIZE", 200)
    source, peaks = a_source(), []
    for _ in range(2):
        first = an_event(source=source)
        many = 1_000 if not peaks else 10_000
        Event.objects.bulk_create(copied(first, number) for number in range(many))
        tracemalloc.start()
        a_finished_export({"source": "aurora"})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(peaks)
    assert peaks[1] < peaks[0] * 2, peaks


def copied(event: Event, number: int) -> Event:
    return Event(
        source_id=event.source_id,
        entity_type="USER",
        entity_id=f"USR-{number % 50}",
        event_type="UPDATE",
        is_signed=True,
        digest=event.digest,
        received_at=event.received_at,
    )


def test_no_more_exports_run_at_once_than_configured(database: None, settings: Any) -> None:
    settings.EXPORTS_AT_ONCE = 2
    for _ in range(3):
        a_requested_export()
    claims = [claim_next_job(EXPORT_JOB) for _ in range(3)]
    assert [bool(claim) for claim in claims] == [True, True, False]
    assert isinstance(claims[0], RunningJob)
    claims[0].finish()
    assert claim_next_job(EXPORT_JOB) is not None


def test_the_number_of_waiting_exports_is_limited(database: None) -> None:
    for _ in range(lifecycle.MAX_WAITING):
        a_requested_export()
    with pytest.raises(lifecycle.TooManyExports):
        a_requested_export()


@pytest.mark.submission
def test_files_are_deleted_after_their_retention_and_the_register_stays(
    database: None, exports: Path
) -> None:
    a_recorded_history(2)
    export = a_finished_export()
    assert lifecycle.delete_expired_files() == 0
    assert export.archive.exists()
    Export.objects.update(expires_at=timezone.now())
    assert lifecycle.delete_expired_files() == 1
    export.refresh_from_db()
    assert export.state == ExportState.EXPIRED
    assert list(exports.iterdir()) == []
    assert ExportedPerson.objects.count() == 2
    assert len(entries("export.expired")) == 1


def half_way(export: Export, exports: Path, *how: str) -> subprocess.Popen[bytes]:
    """Start a process that makes this export slowly, and wait until it is half way."""
    environment = os.environ | {"DATABASE_URL": address(), "EXPORT_FOLDER": str(exports)}
    environment["DJANGO_SETTINGS_MODULE"] = "integration_hub.settings"
    command = [sys.executable, "-m", "tests.exports.slow_worker", *how]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    until = time.monotonic() + 60
    while not Export.objects.filter(pk=export.pk, position__gte=30).exists():
        assert time.monotonic() < until, "it did not come half way"
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)
    return process


def is_whole(export: Export, tmp_path: Path) -> None:
    """Assert that an export has every event once, in two parts."""
    folder = unpack_export(export, tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
    references = [row["reference"] for row in read_lines(folder, "events")]
    assert references == [event.reference for event in Event.objects.order_by("id")]
    assert len(check_json(folder)["parts"]) == 2


@pytest.mark.nightly
def test_an_export_whose_process_is_killed_half_way_is_complete_in_the_end(
    database: None, tmp_path: Path, exports: Path
) -> None:
    a_recorded_history(60)
    export = a_requested_export()
    process = half_way(export, exports, "10")
    process.send_signal(signal.SIGKILL)
    process.wait()
    connection.close()
    export.refresh_from_db()
    assert 30 <= export.position < 60
    end_leases()
    run_jobs("export")
    export.refresh_from_db()
    is_whole(export, tmp_path)


@pytest.mark.nightly
def test_a_stopping_worker_hands_its_export_back(database: None, tmp_path: Path, exports: Path) -> None:
    """Another one claims it at once."""
    a_recorded_history(80)
    export = a_requested_export()
    process = half_way(export, exports, "1", "worker")
    process.terminate()
    assert process.wait(timeout=60) == 0
    end_everything(process)
    connection.close()
    export.refresh_from_db()
    assert 30 <= export.position < 80
    assert (export.state, Job.objects.get().state) == (ExportState.WAITING, "waiting")
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.DONE
    is_whole(export, tmp_path)


def end_everything(process: subprocess.Popen[bytes]) -> None:
    """And whatever it started."""
    for process_id in [*children(process), process.pid]:
        with suppress(ProcessLookupError):
            os.killpg(process_id, signal.SIGKILL)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    paths = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(process_id) for path in paths for process_id in path.read_text().split()]


def address() -> str:
    """Return the DATABASE_URL of this test's database."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


@pytest.mark.submission
def test_an_export_that_kills_its_process_three_times_fails_with_a_message(
    database: None, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_recorded_history(4)
    export = a_requested_export()
    monkeypatch.setattr(builder, "write_evidence", lambda *_: killed())
    assert [run_and_die() for _ in range(4)] == [True, True, True, False]
    export.refresh_from_db()
    assert (export.state, export.failure) == (ExportState.FAILED, DIED_MESSAGE)
    assert [entry["details"]["failure"] for entry in entries("export.failed")] == [DIED_MESSAGE]
    assert list(exports.iterdir()) != []
    lifecycle.delete_expired_files()
    assert list(exports.iterdir()) == []


@pytest.mark.submission
def test_an_export_with_progress_in_each_run_is_continued_and_one_without_fails(
    database: None, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    """A process that dies in the last step has progress only once; otherwise it would be repeated for ever."""
    a_recorded_history(12)
    export = killed_at(monkeypatch, chunk=2)
    for _ in range(3):
        with monkeypatch.context() as patch:
            before_chunk(patch, 2, killed)
            assert run_and_die()
    export.refresh_from_db()
    assert (export.state, export.position) == (ExportState.RUNNING, 8)
    monkeypatch.setattr(builder, "pack_archive", lambda *_: killed())
    assert [run_and_die() for _ in range(4)] == [True, True, True, False]
    export.refresh_from_db()
    assert export.state == ExportState.FAILED


def run_and_die() -> bool:
    """Let a worker start the export and die in it. Returns True if it started."""
    with suppress(Killed):
        return bool(run_jobs("export"))
    end_leases()
    return True
