"""The table for reading beside the evidence, in the form that was asked for."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from exports.models import Export, Table
from exports.resumable_files import to_disk
from exports.tables.csv_writer import COLUMNS, rows, write_csv
from exports.tables.xlsx_writer import check_rows, write_xlsx


def write_table(export: Export, events: QuerySet[Any]) -> Iterator[int]:
    """Write it into the export's folder; how many rows so far, again and again. `TooManyRows`, at once."""
    if export.table == Table.NONE:
        return
    path = export.folder / export.table_name
    if export.table == Table.XLSX:
        check_rows(export.total or 0)
        yield from write_xlsx(COLUMNS, rows(events), path)
        with path.open("rb+") as file:
            to_disk(file)
        return
    with path.open("wb") as file:
        yield from write_csv(events, file, is_safe=export.table == Table.CSV)
        to_disk(file)
