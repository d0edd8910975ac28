"""The slugs of sources and connections in a whole export are those of its entries, and the row checker compares them."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from exports.bundle import builder
from exports.bundle.shipped import check_rows
from sync.models import Connection
from tests.support.builders.exports import a_finished_export, a_recorded_history, read_lines, unpack_export
from webhooks.models import Source

COLUMNS = [
    ("events", "source"),
    ("deliveries", "identity"),
    ("deliveries", "target"),
    ("calls", "connection"),
]


def record_slug(row: Source | Connection, word: str, slug: str) -> None:
    """Give a source or connection this slug as the console does, with its entry."""
    kind = "source" if isinstance(row, Source) else "connection"
    with transaction.atomic():
        type(row)._default_manager.filter(pk=row.pk).update(slug=slug)
        details = {"after": {"slug": slug}}
        append_entries(NewEntry(f"setting:{kind}:{row.pk}", f"{kind}.{word}", details=details))


@pytest.fixture
def renamed(database: None) -> None:
    """A history whose sources and connections were created and then renamed in the console."""
    a_recorded_history(2)
    for row in (*Source.objects.all(), *Connection.objects.all()):
        record_slug(row, "created", f"first-{row.slug}")
        record_slug(row, "changed", f"new-{row.slug}")


def faults_of(folder: Path) -> list[str]:
    return check_rows.RowChecker(str(folder)).check_export()


def rewrite(folder: Path, table: str, column: str, value: str) -> None:
    rows: list[dict[str, Any]] = read_lines(folder, table)
    rows[0][column] = value
    (folder / f"{table}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("renamed")
def test_a_slug_that_was_changed_in_a_file_is_found(tmp_path: Path) -> None:
    Source.objects.update(slug="forged")  # the export has the slug of the entry all the same
    folder = unpack_export(a_finished_export(), tmp_path)
    assert faults_of(folder) == []
    for table, column in COLUMNS:
        slug = read_lines(folder, table)[0][column]
        assert slug.startswith("new-")
        rewrite(folder, table, column, slug.replace("new-", "first-"))
        [fault] = faults_of(folder)
        assert f"{column}: is 'first-" in fault
        rewrite(folder, table, column, slug)


@pytest.mark.submission
@pytest.mark.usefixtures("renamed")
def test_an_export_has_the_recorded_slug_if_sql_changed_it(tmp_path: Path) -> None:
    Source.objects.update(slug="forged")
    folder = unpack_export(a_finished_export(), tmp_path)
    assert all(row["source"].startswith("new-") for row in read_lines(folder, "events"))
    assert faults_of(folder) == []


@pytest.mark.submission
@pytest.mark.usefixtures("renamed")
def test_a_slug_that_is_changed_after_the_checkpoint_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint = builder.make_fresh_checkpoint

    def make_and_rename() -> Any:
        record = make_checkpoint()
        record_slug(Source.objects.get(), "changed", "later")
        return record

    monkeypatch.setattr(builder, "make_fresh_checkpoint", make_and_rename)
    assert faults_of(unpack_export(a_finished_export(), tmp_path)) == []


@pytest.mark.submission
def test_a_source_without_entries_keeps_its_slug(database: None, tmp_path: Path) -> None:
    a_recorded_history(1)
    folder = unpack_export(a_finished_export(), tmp_path)
    assert [row["source"] for row in read_lines(folder, "events")] == [Source.objects.get().slug]
    assert faults_of(folder) == []


@pytest.mark.submission
@pytest.mark.usefixtures("renamed")
def test_a_filtered_export_has_the_slugs_of_its_snapshot(tmp_path: Path) -> None:
    folder = unpack_export(a_finished_export({"entity_type": "USER"}), tmp_path)
    assert read_lines(folder, "events")
    assert faults_of(folder) == []
