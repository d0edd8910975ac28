"""Read the rows of the old database."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connection

from database.move_marker import MARKER

BEFORE_ALL = -(2**63)
"""Below every rowid."""
BATCH_ROWS, BATCH_BYTES = 5_000, 2**24


class SourceRows:
    """The rows of the old database, read over a connection of its own that cannot write."""

    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def list_tables(self) -> list[str]:
        """Return all tables but those of SQLite and the marker."""
        names = self._link.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in names if name != MARKER and not name.startswith("sqlite_")]

    def list_columns(self, table: str) -> list[str]:
        """Return the columns of a table in the order of their creation."""
        return [row[1] for row in self._link.execute(f'PRAGMA table_info("{table}")')]

    def count_rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self._link.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608

    def last_given_ids(self) -> dict[str, int]:
        """Return the highest id that each table ever had: no id of a deleted row is given again."""
        return dict(self._link.execute("SELECT name, seq FROM sqlite_sequence"))

    def read_batches(
        self, table: str, columns: Sequence[str], after: int = BEFORE_ALL
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows whose rowid is above `after` in order, each with its rowid first.

        A batch has at most `BATCH_ROWS`, and ends with the row that makes it larger than `BATCH_BYTES`.
        """
        names = ", ".join(f'"{column}"' for column in columns)
        query = f'SELECT rowid, {names} FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT {BATCH_ROWS}'  # noqa: S608
        while batch := _cut(self._link.execute(query, [after])):
            yield batch
            after = batch[-1][0]


def _cut(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if type(value) in (str, bytes))
        if size >= BATCH_BYTES:
            break
    return batch


@contextmanager
def open_source() -> Iterator[SourceRows]:
    """Open the file of DATABASE_URL for reading only."""
    path = Path(str(connection.settings_dict["NAME"]))
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as link:
        # What is no UTF-8 is refused with the name of its column, not by the driver.
        link.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
        yield SourceRows(link)
