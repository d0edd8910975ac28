"""Copy the rows: table by table, with their ids, in batches that are committed one by one."""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from django.core.management.base import CommandError
from psycopg import sql

from integration_hub.move.row_digest import RowDigest
from integration_hub.move.source_rows import BATCH_ROWS, BEFORE_ALL, SourceRows
from integration_hub.move.target import CopiedTable, Target
from integration_hub.move.values import RowConverter


def check_rows(source: SourceRows, converters: Iterable[RowConverter]) -> int:
    """Convert every row and store nothing. Returns how many there are. Raises CommandError if one does not fit."""
    total = 0
    for converter in converters:
        for batch in source.read_batches(converter.table, converter.names):
            for row in batch:
                converter.convert(row)
            total += len(batch)
    return total


def copy_table(source: SourceRows, target: Target, converter: RowConverter, copied: CopiedTable) -> int:
    """Copy the rows of a table that are not in the target yet. Returns how many.

    How far the table is copied, and the digest of the copied rows, are committed with each batch: after a kill no row
    is missing and none is there twice.
    """
    after = BEFORE_ALL if copied.last_rowid is None else copied.last_rowid
    digest, rows = RowDigest(converter.columns, copied.digest), 0
    for batch in source.read_batches(converter.table, converter.names, after):
        with target.link.transaction():
            _insert(target, converter, digest, batch)
            target.note_batch(copied.name, batch[-1][0], len(batch), str(digest))
        rows += len(batch)
    target.note_copied(copied.name)
    return rows


def _insert(
    target: Target, converter: RowConverter, digest: RowDigest, batch: Iterable[tuple[Any, ...]]
) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, converter.names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(converter.table), columns)
    try:
        with target.link.cursor() as cursor, cursor.copy(statement) as copy:
            for row in batch:
                values = converter.convert(row)
                digest.add_row(values)
                copy.write_row(values)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        place = error.diag.column_name or error.diag.constraint_name or "a value"
        raise CommandError(
            f"{converter.table}: PostgreSQL refused {place} ({type(error).__name__}). Nothing was lost: the old "
            "database is unchanged. move_to --undo lets it take webhooks again."
        ) from None


def digest_target(target: Target, converter: RowConverter) -> str:
    """Return the digest of the rows of a table as they are in the target."""
    digest = RowDigest(converter.columns)
    for row in _read_target(target, converter):
        digest.add_row(row)
    return str(digest)


def _read_target(target: Target, converter: RowConverter) -> Iterator[tuple[Any, ...]]:
    # The text of a document: the driver would read its numbers.
    names = sql.SQL(", ").join(
        sql.SQL("{}::text" if column.data_type == "jsonb" else "{}").format(sql.Identifier(column.name))
        for column in converter.columns
    )
    query = sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(converter.table))
    with target.link.transaction(), target.link.cursor(name="hub_move", binary=True) as cursor:
        cursor.itersize = BATCH_ROWS
        yield from cursor.execute(query)
