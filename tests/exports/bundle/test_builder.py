"""Promise I18: an export contains what the list shows, can be verified without the hub, and reveals tampering."""

import csv
import io
import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.entries.append import append_entries
from audit.export.line_formats import neutralize_formula
from audit.models import Entry
from audit.sealing.checkpoints import checkpoint_bytes, make_checkpoint
from audit.sealing.publish_checkpoints import publish_checkpoint
from database.clock import read_clock
from exports.bundle import builder, event_selection
from exports.bundle.archive import pack_archive
from exports.bundle.schema import TABLES
from exports.bundle.shipped import check_rows
from exports.models import ExportState
from exports.tables.csv_writer import neutralize_formulas
from sync.deliveries.claims import attempt_started_entry
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.models import Attempt, Call
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.exports import (
    FORMULAS,
    a_finished_export,
    a_recorded_event,
    a_recorded_history,
    a_requested_export,
    delete_event_rows,
    newest_checkpoint,
    read_lines,
    readme_commands,
    run_command,
    run_readme_commands,
    save_checkpoint,
    unpack_export,
)
from tests.support.builders.history import (
    NOON,
    a_call,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
    sealed,
)
from tests.support.jobs import run_jobs
from tests.support.people import entries, person
from webhooks.models import Event

pytestmark = pytest.mark.concurrent


@pytest.mark.submission
@pytest.mark.parametrize(
    "words",
    [
        {},
        {"state": "dead"},
        {"received_from": "2026-03-04T12:00:02", "received_to": "2026-03-04T12:00:04"},
        {"q": "USR-1"},
    ],
)
def test_the_readme_commands_accept_a_valid_export(
    database: None, tmp_path: Path, words: dict[str, str]
) -> None:
    a_recorded_history(5)
    a_recorded_event(9, state="dead")
    seal_audit()
    outside = make_checkpoint(CIPHER, read_clock())
    assert outside is not None
    a_recorded_event(10, received_at=datetime(2026, 5, 1, tzinfo=UTC))
    folder = unpack_export(a_finished_export(words), tmp_path)
    save_checkpoint(folder)
    for command in readme_commands(folder):
        code, result = run_command(command, folder)
        assert code == 0, result
    assert len(readme_commands(folder)) == 3
    rows = logged_in("auditor").get("/admin/webhooks/event/", words).context["page"].rows
    listed = [row.event for row in rows]
    assert {row["reference"] for row in read_lines(folder, "events")} == {event.reference for event in listed}


@pytest.mark.submission
def test_an_export_is_made_with_debug_on(database: None, tmp_path: Path, settings: Any) -> None:
    settings.DEBUG = True  # Django then wraps each cursor in another one
    a_recorded_history(5)
    folder = unpack_export(a_finished_export({}), tmp_path)
    assert len(list(read_lines(folder, "events"))) == 5


@pytest.mark.submission
def test_an_old_saved_checkpoint_is_compared(database: None, tmp_path: Path) -> None:
    a_recorded_history(2)
    seal_audit()
    publish_checkpoint(CIPHER, read_clock(), {})
    history_before = newest_checkpoint()
    a_recorded_event(7)
    folder = unpack_export(a_finished_export(), tmp_path)
    (folder.parent / "kept.json").write_bytes(checkpoint_bytes(history_before))
    assert run_readme_commands(folder) == [0, 0, 0]
    forged = checkpoint_bytes({**history_before, "root": "00" * 32})
    (folder.parent / "kept.json").write_bytes(forged)
    assert run_readme_commands(folder) == [0, 1, 0]


@pytest.mark.submission
def test_every_file_has_the_rows_and_columns_that_the_dictionary_says(database: None, tmp_path: Path) -> None:
    a_recorded_history(3)
    export = a_finished_export()
    folder = unpack_export(export, tmp_path)
    dictionary = json.loads((folder / "columns.json").read_text())
    for table in TABLES:
        rows = read_lines(folder, table.name)
        assert len(rows) == export.counts[table.name] == 3
        assert [list(row) for row in rows] == [
            [column["name"] for column in dictionary[f"{table.name}.jsonl"]["columns"]]
        ] * 3
        nulls = {name for row in rows for name, value in row.items() if value is None}
        assert nulls <= {column.name for column in table.columns if column.nullable}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["filter"], manifest["by"]) == ("whole", {}, "system")
    assert {path.name for path in folder.iterdir()} == {*manifest["files"], "manifest.json"}
    listed = list(csv.DictReader((folder / "events.csv").open(newline="", encoding="utf-8")))
    assert [row["uuid"] for row in listed] == [row["uuid"] for row in read_lines(folder, "events")]
    assert listed[0]["received"] == "2026-03-04T12:00:00.000000Z"


@pytest.mark.submission
def test_an_export_contains_no_content_of_webhooks_records_or_calls(database: None, tmp_path: Path) -> None:
    event = a_recorded_event(1)
    attempt = Attempt.objects.get()
    Attempt.objects.update(findings=sealed("findings", {"change": {"email": "anna.secret@example.com"}}))
    Event.objects.filter(pk=event.pk).update(payload=sealed("webhook", {"email": "anna.secret@example.com"}))
    a_call(attempt, request=sealed("request", {"email": "anna.secret@example.com"}))
    assert Call.objects.filter(request__isnull=False).count() == 1
    folder = unpack_export(a_finished_export(), tmp_path)
    assert not any(b"anna.secret" in path.read_bytes() for path in folder.iterdir())


@pytest.mark.promise("I18", "T26")
def test_no_cell_of_the_csv_is_a_formula_and_every_text_is_preserved(database: None, tmp_path: Path) -> None:
    source = a_source()
    for number, text in enumerate(FORMULAS):
        a_recorded_event(
            number, source=source, entity_id=text, event_type="plain", event_id=f"{number}{text}"
        )
    folder = unpack_export(a_finished_export(), tmp_path)
    rows = list(csv.DictReader((folder / "events.csv").open(newline="", encoding="utf-8")))
    triggers = [text for text in FORMULAS if text not in ("a\n=1", 'x,"=1')]
    assert [row["entity_id"] for row in rows] == [
        f"'{text}" if text in triggers else text for text in FORMULAS
    ]
    assert [row["event_id"] for row in rows] == [f"{number}{text}" for number, text in enumerate(FORMULAS)]
    assert [row["entity_id"] for row in read_lines(folder, "events")] == FORMULAS


@pytest.mark.promise("T26")
@pytest.mark.pure
@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_block_of_copied_rows_is_neutralized_wherever_the_formula_is(place: int) -> None:
    """The quick check of a block may suspect too much, never too little."""
    for text in (*FORMULAS, "plain", "ä", "", '""', "1-2", ' "=1'):
        cells = ["uuid", "a", "", "z", "end"]
        cells[place] = text
        quoted = [f'"{escaped}"' for escaped in (cell.replace('"', '""') for cell in cells[1:4])]
        plain = b'uuid,"a","","z",end\n'
        block = neutralize_formulas([plain, f"uuid,{','.join(quoted)},end\n".encode(), plain])
        rows = list(csv.reader(io.StringIO(block.decode(), newline="")))
        assert rows[1] == [neutralize_formula(cell) for cell in cells]
        assert rows[0] == rows[2] == ["uuid", "a", "", "z", "end"]


ROWS: dict[str, Any] = {
    "an event is gone": (lambda event: delete_event_rows(event), "has no row in events.jsonl"),
    "an event that never was": (lambda event: an_event(77), "is not in the audit log"),
    "an event that arrived at another time": (
        lambda event: Event.objects.filter(pk=event.pk).update(received_at=NOON),
        "but its row says",
    ),
    "a delivery of another route": (
        lambda event: move_to_another_route(event),
        "is not in the audit log",
    ),
}


def move_to_another_route(event: Event) -> None:
    event.deliveries.update(route=a_route(event.source, entity_type="ROLE"))


@pytest.mark.submission
@pytest.mark.parametrize("change", ROWS)
def test_rows_tampered_with_in_the_database_do_not_match_the_entries(
    database: None, tmp_path: Path, change: str
) -> None:
    events = a_recorded_history(4)
    seal_audit()
    tamper, words = ROWS[change]
    tamper(events[2])
    folder = unpack_export(a_finished_export(), tmp_path)
    save_checkpoint(folder)
    faults = check_rows.RowChecker(str(folder)).check_export()
    assert any(words in fault for fault in faults), faults
    assert run_readme_commands(folder) == [0, 0, 1]


def test_an_entry_that_was_deleted_beforehand_is_found_by_the_verifier(
    database: None, tmp_path: Path
) -> None:
    a_recorded_history(4)
    seal_audit()
    with transaction.atomic():
        disable_triggers()
        Entry.objects.filter(action="attempt.started").earliest("pk").delete()
    folder = unpack_export(a_finished_export(), tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder)[1] == 1


@pytest.mark.submission
def test_the_same_rows_in_another_order_of_time_are_packed_into_the_same_bytes(
    database: None, tmp_path: Path
) -> None:
    a_recorded_history(2)
    folder = unpack_export(a_finished_export(), tmp_path)
    other = shutil.copytree(folder, tmp_path / "other" / "export", copy_function=shutil.copyfile)
    first = pack_archive(folder, tmp_path / "first.zip", lambda: None)
    second = pack_archive(other, tmp_path / "second.zip", lambda: None)
    assert first == second
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


@pytest.mark.submission
def test_an_unsealed_event_is_left_to_the_next_export(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came after the checkpoint, which therefore does not prove it."""
    a_recorded_history(3)
    seal_audit()
    a_recorded_event(8)
    monkeypatch.setattr(event_selection, "seal_audit", lambda: 0)
    folder = unpack_export(a_finished_export(), tmp_path)
    assert [row["entity_id"] for row in read_lines(folder, "events")] == ["USR-0", "USR-1", "USR-2"]
    assert check_rows.RowChecker(str(folder)).check_export() == []


@pytest.mark.submission
@pytest.mark.parametrize("is_recorded", [True, False])
def test_an_attempt_that_began_after_the_checkpoint_is_no_fault_and_one_without_entry_is(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_recorded: bool
) -> None:
    """Its event is older, so its row is exported; its entry is sealed with the next checkpoint."""
    event = a_recorded_history(3)[0]
    checkpoint = builder.make_fresh_checkpoint

    def and_then_an_attempt() -> Any:
        made = checkpoint()
        delivery = event.deliveries.get()
        attempt = an_attempt(
            delivery, 2, started_at=timezone.now(), ended_at=None, outcome="started", code=""
        )
        if is_recorded:
            with transaction.atomic():
                append_entries(attempt_started_entry(attempt))
        return made

    monkeypatch.setattr(builder, "make_fresh_checkpoint", and_then_an_attempt)
    folder = unpack_export(a_finished_export(), tmp_path)
    save_checkpoint(folder)
    assert len(read_lines(folder, "attempts")) == 4
    assert run_readme_commands(folder) == [0, 0, 0 if is_recorded else 1]


@pytest.mark.submission
def test_an_export_and_its_states_are_in_the_audit_log_without_names(database: None, tmp_path: Path) -> None:
    a_recorded_history(2)
    export = a_finished_export({"entity_id": "USR-1", "state": "succeeded"})
    (asked,), (done,) = entries("export.requested"), entries("export.completed")
    assert asked["stream"] == done["stream"] == f"export:{export.uuid}"
    assert done["details"]["sha256"] == export.sha256
    assert done["details"]["counts"]["events"] == 1
    assert asked["details"]["filter"]["state"] == "succeeded"
    assert len(asked["details"]["filter"]["entity_id"]) == 32
    assert "USR-1" not in json.dumps([asked, done])


def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(
    database: None, settings: Any, tmp_path: Path
) -> None:
    a_recorded_history(1)
    (tmp_path / "file").write_text("")
    settings.EXPORT_FOLDER = str(tmp_path / "file")
    export = a_requested_export()
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.FAILED
    assert "export folder cannot be written" in export.failure
    assert len(entries("export.failed")) == 1


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("table", ["csv", "csv-raw", "xlsx"])
def test_each_file_with_data_names_its_requester_and_the_checks_accept_it(
    database: None, tmp_path: Path, table: str
) -> None:
    """Holds that a file that left its archive still says who exported it."""
    a_recorded_history(3)
    auditor = person("auditor")
    folder = unpack_export(a_finished_export(by=auditor, table=table), tmp_path)
    who = f"person:{auditor.pk}"
    for file in TABLES:
        assert {row["exported_by"] for row in read_lines(folder, file.name)} == {who}
    for name in ("manifest.json", "export.json"):
        assert json.loads((folder / name).read_text())["by"] == who
    assert f"requested by {who}" in (folder / "README.txt").read_text()
    if table == "xlsx":
        with zipfile.ZipFile(folder / "events.xlsx") as packed:
            assert packed.read("xl/worksheets/sheet1.xml").decode().count(f"<t>{who}</t>") == 3
    else:
        listed = list(csv.DictReader((folder / "events.csv").open(newline="", encoding="utf-8")))
        assert [row["exported_by"] for row in listed] == [who] * 3
    (folder.parent / "kept.json").write_bytes((folder / "checkpoint.json").read_bytes())
    assert run_readme_commands(folder) == [0, 0, 0]
