"""Write batches: several INSERTs and UPDATEs in one round trip, all or nothing.

On PostgreSQL a batch is one statement whose writes are data-modifying CTEs. They share one snapshot: no write sees
another's effect, and no two may touch the same row. On SQLite the writes run one after the other in a transaction.
Batches of other threads share it: there is one writer at a time anyway, and a commit writes the pages that the one
before it wrote, the ends of tables and indexes.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Model

from database import statement
from database.bulk_insert import insert_rows, make_insert, mark_as_new, mark_as_stored
from database.connection import thread_connection
from database.group_commit import GroupCommit
from database.statement import BoundStatement, Statement, first_row, first_value, row_count

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
        try:
            if connection.in_atomic_block:
                # A savepoint only if there is a guard: when it fails, the caller's transaction must stay usable.
                with transaction.atomic() if self._guards else nullcontext():
                    self._write(connection)
            elif connection.vendor == "postgresql":
                self._write(connection)
            else:
                _group_commit.submit(self)
        except BaseException:
            self.mark_rows_as_new()
            raise

    def write_in_savepoint(self, connection: Any) -> Exception | None:
        """Write everything in a savepoint of the open transaction. Returns the error if that failed and was undone.

        Raises an error of the database itself: SQLite may have undone the whole transaction.
        """
        _SAVEPOINT.execute()
        try:
            self._write(connection)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - raised in the thread whose batch it is
            _UNDO_SAVEPOINT.execute()
            return error
        _RELEASE_SAVEPOINT.execute()
        return None

    def write_alone(self) -> Exception | None:
        """Write everything in a transaction of its own. Returns the error if that failed."""
        try:
            with transaction.atomic():
                self._write(thread_connection())
        except Exception as error:  # noqa: BLE001 - raised in the thread whose batch it is
            return error
        return None

    def _write(self, connection: Any) -> None:
        # One statement saves a round trip per write; SQLite has no data-modifying CTEs.
        if connection.vendor == "postgresql" and len(self._guards) + len(self._rows) + len(self._writes) > 1:
            self._run_as_one_statement(connection)
        else:
            self._run_in_turn(connection)

    def mark_rows_as_new(self) -> None:
        """Take back the primary keys of the rows, which are not stored."""
        for rows in self._rows.values():
            mark_as_new(rows)

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


_SAVEPOINT, _UNDO_SAVEPOINT, _RELEASE_SAVEPOINT = map(
    Statement, ("SAVEPOINT batch", "ROLLBACK TO batch", "RELEASE batch")
)


def _commit_together(batches: Sequence[WriteBatch]) -> Sequence[Exception | None]:
    """Write batches of several threads in one commit, in their order. Returns the error of each, None if it is written.

    Raises what the database raised if none of them is written.
    """
    if len(batches) == 1:
        return [batches[0].write_alone()]
    connection = thread_connection()
    try:
        with transaction.atomic():
            return [batch.write_in_savepoint(connection) for batch in batches]
    except IntegrityError:
        # A foreign key, which SQLite checks at the commit: it does not say of which batch.
        for batch in batches:
            batch.mark_rows_as_new()
        return [batch.write_alone() for batch in batches]


_group_commit = GroupCommit(_commit_together)

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
