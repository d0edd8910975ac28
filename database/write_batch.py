"""Write batches: several INSERTs and UPDATEs in one round trip, all or nothing.

On PostgreSQL a batch is one statement whose writes are data-modifying CTEs. They share one snapshot: no write sees
another's effect, and no two may touch the same row. On SQLite the writes run one after the other in a transaction.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from django.db import DataError, transaction
from django.db.models import Model

from database import statement
from database.bulk_insert import insert_rows, make_insert, mark_as_new, mark_as_stored
from database.connection import thread_connection
from database.statement import BoundStatement, first_row, first_value, row_count

ANY_ROW = object()
_GUARD_FAILED = "a guard failed"
# Plain SQL cannot raise an error. A text that cannot be cast fails the whole statement, and undoes its writes.
_CHECK = f"CAST(CASE WHEN {{}} THEN '1' ELSE '{_GUARD_FAILED}' END AS integer)"


class GuardFailed(Exception):
    """A condition of the batch did not hold, and nothing was written."""


class WriteBatch:
    """Rows to insert, statements to execute, and conditions without which nothing is written.

    A model instance takes the place of its primary key wherever a value is allowed, also if the batch inserts it:
    in foreign keys of other rows and among the parameters of `execute`, not of `require`.
    """

    def __init__(self) -> None:
        self._rows: dict[type[Model], list[Model]] = {}
        self._writes: list[BoundStatement] = []
        self._guards: list[tuple[BoundStatement, Any]] = []

    def insert(self, *rows: Model) -> None:
        """Insert rows, those of one model by one statement. Insert a row after the rows that it refers to."""
        for row in rows:
            self._rows.setdefault(type(row), []).append(row)

    def execute(self, *writes: BoundStatement) -> None:
        """Execute statements, whatever number of rows they change."""
        self._writes += writes

    def require(self, guard: BoundStatement, equals: Any = ANY_ROW) -> None:
        """Write nothing unless this SELECT, or this write, finds a row; with `equals`, unless it returns that value."""
        self._guards.append((guard, equals))

    def run(self) -> None:
        """Write everything in one commit, or as a part of the transaction that is open.

        Sets the primary keys of the rows. Raises GuardFailed if a guard did not hold, or what the database
        raises; then nothing was written, and the rows count as new again.
        """
        connection = thread_connection()
        is_one_statement = connection.vendor == "postgresql" and self._part_count() > 1
        try:
            with self._atomic_if_needed(connection, is_one_statement):
                # One statement saves a round trip per write; SQLite has no data-modifying CTEs.
                if is_one_statement:
                    self._run_as_one_statement(connection)
                else:
                    self._run_in_turn(connection)
        except BaseException:
            for rows in self._rows.values():
                mark_as_new(rows)
            raise

    def _part_count(self) -> int:
        return len(self._guards) + len(self._rows) + len(self._writes)

    def _atomic_if_needed(self, connection: Any, is_one_statement: bool) -> AbstractContextManager[Any]:
        # A savepoint only if there is a guard: when it fails, the caller's transaction must stay usable.
        if connection.in_atomic_block:
            return transaction.atomic() if self._guards else nullcontext()
        return nullcontext() if is_one_statement or self._part_count() == 1 else transaction.atomic()

    def _run_in_turn(self, connection: Any) -> None:
        for guard, equals in self._guards:
            sql = guard.texts[connection.vendor]
            found = statement.execute_sql(connection, sql, guard.values, first_value, is_read=False)
            if not (found is not None if equals is ANY_ROW else found == equals):
                raise GuardFailed
        for rows in self._rows.values():
            insert_rows(rows, connection)
        for write in self._writes:
            sql = write.texts[connection.vendor]
            statement.execute_sql(connection, sql, write.values, row_count, is_read=False)

    def _run_as_one_statement(self, connection: Any) -> None:
        places: dict[int, str] = {}
        for number, rows in enumerate(self._rows.values()):
            for position, row in enumerate(rows, 1):
                places[id(row)] = f"(SELECT k[{position}] FROM k{number})"  # noqa: S608
        values: list[Any] = []
        guards = []
        for guard, equals in self._guards:
            # Parameters are positional: guards first, then rows, then writes, then expected values.
            values += guard.values
            guards.append((guard.texts["postgresql"], equals is not ANY_ROW))
        inserts = []
        for rows in self._rows.values():
            sql, parameters = make_insert(rows, connection)
            inserts.append((sql, _split_parameters(parameters, places, values)))
        writes = [
            (write.texts["postgresql"], _split_parameters(write.values, places, values))
            for write in self._writes
        ]
        values += [equals for _, equals in self._guards if equals is not ANY_ROW]
        text = _batch_sql(tuple(guards), tuple(inserts), tuple(writes))
        try:
            found = statement.execute_sql(connection, text, values, first_row, is_read=False)
        except DataError as error:
            # The cast of _CHECK quotes what it cannot read.
            if _GUARD_FAILED in str(error):
                raise GuardFailed from None
            raise
        for rows, keys in zip(self._rows.values(), found[1:], strict=True):
            mark_as_stored(rows, keys)


# The parameters that are keys of rows of the batch, and where those are found.
_Keys = tuple[tuple[int, str], ...]
_Part = tuple[str, _Keys]


def _split_parameters(parameters: Sequence[Any], places: dict[int, str], values: list[Any]) -> _Keys:
    """Return which parameters of a statement are keys of rows of the batch; add the others to `values`."""
    keys = []
    for position, value in enumerate(parameters):
        place = places.get(id(value))
        if place is None:
            values.append(value)
        else:
            keys.append((position, place))
    return tuple(keys)


@lru_cache(maxsize=512)
def _batch_sql(
    guards: tuple[tuple[str, bool], ...],
    inserts: tuple[_Part, ...],
    writes: tuple[_Part, ...],
) -> str:
    """Return the one statement of a batch: it fails if a guard does not hold, and returns the keys of the rows by
    model.
    """
    ctes, conditions, keys = [], [], []
    for number, (sql, has_value) in enumerate(guards):
        ctes.append(f"g{number} AS ({_with_returning(sql)})")
        found = f"(SELECT * FROM g{number})"  # noqa: S608
        conditions.append(f"{found} = %s" if has_value else f"EXISTS {found}")
    for number, part in enumerate(inserts):
        ctes.append(f"w{number} AS ({_with_keys(part)})")
        # A sequence numbers the rows of one INSERT in the order of its VALUES.
        ctes.append(f"k{number} AS (SELECT array_agg(k ORDER BY k) AS k FROM w{number})")  # noqa: S608
        keys.append(f"(SELECT k FROM k{number})")  # noqa: S608
    ctes += [f"u{number} AS ({_with_keys(part)})" for number, part in enumerate(writes)]
    check = _CHECK.format(" AND ".join(conditions)) if conditions else "1"
    return f"WITH {', '.join(ctes)} SELECT {', '.join([check, *keys])}"


def _with_returning(sql: str) -> str:
    """Return a guard's text. A write without RETURNING gets one."""
    return sql if sql.startswith("SELECT") or " RETURNING " in sql else f"{sql} RETURNING 1"


def _with_keys(part: _Part) -> str:
    """Return the text with some parameters replaced by keys of rows of the batch."""
    sql, keys = part
    first, *rest = sql.split("%s")
    marks = dict(keys)
    return first + "".join(marks.get(position, "%s") + piece for position, piece in enumerate(rest))
