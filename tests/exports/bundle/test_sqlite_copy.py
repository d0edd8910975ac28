"""An export on SQLite: the write-ahead log can be checkpointed meanwhile, and stays small."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction

from database.connection import release_connection
from exports.bundle import builder, sqlite_copy
from exports.bundle import snapshot as taking
from exports.bundle.snapshot import read_snapshot
from exports.models import Export, ExportState
from tests.exports.interrupted_exports import before_chunk, elsewhere
from tests.support.builders.exports import (
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    read_lines,
    unpack_export,
)
from tests.support.jobs import run_jobs
from webhooks.models import Event

pytestmark = [pytest.mark.only_sqlite, pytest.mark.concurrent]

ALL, AS_FAR_AS_POSSIBLE = "TRUNCATE", "PASSIVE"


def copy_back(how: str) -> tuple[bool, int]:
    """Checkpoint the log. Returns if it was blocked, and the number of pages copied back."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as link:
        busy, _pages, copied = link.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    return bool(busy), copied


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "CHUNK_SIZE", 2)


def test_the_log_is_free_while_rows_are_written(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    """Rows read within the snapshot would hold the log until the last of them is written."""
    events, was_busy = a_recorded_history(6), list[bool]()

    def write() -> None:
        elsewhere(lambda: Event.objects.filter(pk=events[5].pk).update(state="dead"))
        elsewhere(lambda: a_recorded_event(30))
        was_busy.append(copy_back(ALL)[0])

    before_chunk(monkeypatch, 2, write)
    folder = unpack_export(a_finished_export(), tmp_path)
    assert was_busy == [False]
    assert {row["state"] for row in read_lines(folder, "events")} == {"succeeded"}
    assert Event.objects.count() == 7, "the copies went with the export"
    assert Event.objects.get(pk=events[5].pk).state == "dead"


def test_the_copies_stay_with_the_thread_that_made_them(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread would read the copies, and write to them in place of the tables."""
    a_recorded_history(3)
    seen = list[int]()
    with sqlite_copy.snapshot_with_copy(lambda: None) as copy_rows:
        copy_rows([])
        with transaction.atomic():
            elsewhere(lambda: seen.append(Event.objects.count()))
        release_connection()
        elsewhere(lambda: seen.append(Event.objects.count()))
        seen.append(Event.objects.count())
    seen.append(Event.objects.count())
    assert seen == [3, 3, 0, 3]


def test_a_snapshot_lets_the_log_be_copied_back_up_to_it(database: None) -> None:
    """Otherwise each commit would try to checkpoint, and sort the whole log for it."""
    export = a_requested_export()

    def write(reason: str) -> None:
        elsewhere(lambda: Export.objects.update(reason=reason))

    copy_back(AS_FAR_AS_POSSIBLE)
    with read_snapshot(lambda: write("before")):
        write("after")
        assert copy_back(AS_FAR_AS_POSSIBLE)[1] > 0
        seen = Export.objects.get(pk=export.pk).reason
    assert seen == "before"


@pytest.mark.submission
@pytest.mark.parametrize("place", ["rows", "evidence"])
def test_each_snapshot_of_an_export_begins_inside_the_log(
    database: None, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    a_recorded_history(3)
    copied, module = list[int](), {"rows": sqlite_copy, "evidence": taking}[place]
    begin_reading = taking.pin_wal_snapshot

    def begin_behind_all_of_it(link: sqlite3.Connection, write: Callable[[], None]) -> None:
        copy_back(AS_FAR_AS_POSSIBLE)
        begin_reading(link, write)
        elsewhere(lambda: Event.objects.update(code="meanwhile"))
        copied.append(copy_back(AS_FAR_AS_POSSIBLE)[1])

    monkeypatch.setattr(module, "pin_wal_snapshot", begin_behind_all_of_it)
    a_finished_export()
    assert len(copied) == 1
    assert copied[0] > 0


def test_an_unavailable_database_does_not_count_as_a_failure_of_the_export(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_recorded_history(3)
    export = a_requested_export()

    def broken(_link: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(taking, "_start_reading", broken)
        with pytest.raises(OperationalError):
            run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.RUNNING, "the next worker goes on with it"


@pytest.mark.nightly
def test_without_disk_space_for_the_copies_an_export_fails_with_a_message(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_recorded_history(60)
    begin_reading = taking.pin_wal_snapshot

    def begin_in_a_corner(link: sqlite3.Connection, write: Callable[[], None]) -> None:
        begin_reading(link, write)
        link.execute("PRAGMA temp.max_page_count = 3")

    export = a_requested_export()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_copy, "pin_wal_snapshot", begin_in_a_corner)
        run_jobs("export")
    export.refresh_from_db()
    assert (export.state, export.folder.exists()) == (ExportState.FAILED, False)
    assert export.failure == "There is no space left for temporary files (SQLITE_TMPDIR or /var/tmp)."
    assert a_finished_export().total == 60
