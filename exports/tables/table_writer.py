"""Write the readable table of an export in the requested format."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from audit.export.line_formats import REQUESTER_COLUMN
from exports.models import Export, TableFormat
from exports.resumable_files import flush_to_disk
from exports.tables.csv_writer import COLUMNS, read_cells, write_csv
from exports.tables.xlsx_writer import check_row_count, write_xlsx


def write_table(export: Export, events: QuerySet[Any]) -> Iterator[int]:
    """Write the table into the export's folder, and yield the number of rows written so far.

    Raises TooManyRows before it writes anything.
    """
    if export.table == TableFormat.NONE:
        return
    path = export.folder / export.table_name
    if export.table == TableFormat.XLSX:
        check_row_count(export.total or 0)
        names = (*COLUMNS, REQUESTER_COLUMN)
        yield from write_xlsx(names, read_cells(events, export.actor), path)
        # `ZipFile` has closed the file, so it is opened again to be flushed to disk.
        with path.open("rb+") as file:
            flush_to_disk(file)
        return
    with path.open("wb") as file:
        yield from write_csv(events, file, export.actor, is_safe=export.table == TableFormat.CSV)
        flush_to_disk(file)
