"""An export on SQLite: the write-ahead log can be copied back while it is made, and stays small."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from exports.bundle import builder, sqlite_copy
from exports.bundle import snapshot as taking
from exports.bundle.snapshot import read_snapshot
from exports.models import Export, ExportState
from tests.exports.interrupted_exports import before_chunk, elsewhere
from tests.support.builders.exports import exported, happened, history, lines, requested, unpacked
from tests.support.jobs import run_jobs
from webhooks.models import Event

pytestmark = pytest.mark.only_sqlite

ALL, AS_FAR_AS_POSSIBLE = "TRUNCATE", "PASSIVE"


def copy_back(how: str) -> tuple[bool, int]:
    """Whether somebody was in the way, and how many pages of the log have been copied back."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as link:
        busy, _pages, copied = link.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    return bool(busy), copied


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "CHUNK_SIZE", 2)


@pytest.mark.parametrize("is_careless", [False, True])
def test_the_log_is_free_while_rows_are_written(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_chunks: None, is_careless: bool
) -> None:
    """Read in the snapshot itself, they hold it until the last of them is written."""
    events, was_busy = history(6), list[bool]()

    def write() -> None:
        elsewhere(lambda: Event.objects.filter(pk=events[5].pk).update(state="dead"))
        elsewhere(lambda: happened(30))
        was_busy.append(copy_back(ALL)[0])

    before_chunk(monkeypatch, 2, write)
    if is_careless:
        monkeypatch.setattr(sqlite_copy, "_copy_tables", lambda *_: None)
    folder = unpacked(exported(), tmp_path)
    assert was_busy == [is_careless]
    assert {row["state"] for row in lines(folder, "events")} == {"succeeded"}
    assert Event.objects.count() == 7, "the copies went with the export"
    assert Event.objects.get(pk=events[5].pk).state == "dead"


@pytest.mark.parametrize("is_careless", [False, True])
def test_a_snapshot_lets_the_log_be_copied_back_up_to_it(database: None, is_careless: bool) -> None:
    """Where it does not, each commit tries, and sorts all of the log for it."""
    export = requested()

    def write(reason: str) -> None:
        elsewhere(lambda: Export.objects.update(reason=reason))

    copy_back(AS_FAR_AS_POSSIBLE)
    with read_snapshot((lambda: None) if is_careless else (lambda: write("before"))):
        write("after")
        assert (copy_back(AS_FAR_AS_POSSIBLE)[1] == 0) == is_careless
        seen = Export.objects.get(pk=export.pk).reason
    assert seen == ("the yearly audit" if is_careless else "before")


@pytest.mark.parametrize("is_careless", [False, True])
@pytest.mark.parametrize("place", ["rows", "evidence"])
def test_each_snapshot_of_an_export_begins_inside_the_log(
    database: None, monkeypatch: pytest.MonkeyPatch, place: str, is_careless: bool
) -> None:
    history(3)
    copied, module = list[int](), {"rows": sqlite_copy, "evidence": taking}[place]
    begin_reading = taking.pin_wal_snapshot

    def begin_behind_all_of_it(link: sqlite3.Connection, write: Callable[[], None]) -> None:
        copy_back(AS_FAR_AS_POSSIBLE)
        begin_reading(link, (lambda: None) if is_careless else write)
        elsewhere(lambda: Event.objects.update(code="meanwhile"))
        copied.append(copy_back(AS_FAR_AS_POSSIBLE)[1])

    monkeypatch.setattr(module, "pin_wal_snapshot", begin_behind_all_of_it)
    exported()
    assert [each == 0 for each in copied] == [is_careless]


def test_a_database_that_is_away_when_an_export_begins_to_read_is_not_its_fault(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(3)
    export = requested()

    def broken(_link: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(taking, "_start_reading", broken)
        with pytest.raises(OperationalError):
            run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.RUNNING, "the next worker goes on with it"


def test_without_room_for_the_copies_an_export_fails_with_a_sentence(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(60)
    begin_reading = taking.pin_wal_snapshot

    def begin_in_a_corner(link: sqlite3.Connection, write: Callable[[], None]) -> None:
        begin_reading(link, write)
        link.execute("PRAGMA temp.max_page_count = 3")

    export = requested()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_copy, "pin_wal_snapshot", begin_in_a_corner)
        run_jobs("export")
    export.refresh_from_db()
    assert (export.state, export.folder.exists()) == (ExportState.FAILED, False)
    assert export.failure == "There is no space left for temporary files (SQLITE_TMPDIR or /var/tmp)."
    assert exported().total == 60
