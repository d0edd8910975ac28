"""Writes that travel together: one round trip to PostgreSQL for what else takes one each, and all of them or none.

There they are the parts of one statement (WITH …), none of which sees what another one did: they write to different
rows. A part may name the key that another part's row will get: a row among its values stands for its key.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DataError, transaction
from django.db.models import Model

from database import statement
from database.connection import current
from database.statement import Bound
from database.values import PLAIN, prepared

GIVEN = "given"  # the part that others are made to depend on
_ALL_IS_WELL = "CAST(CASE WHEN {} THEN '1' ELSE 'the row is not as expected' END AS integer)"
_NO_NUMBER = "22P02"  # of the standard: what stands there cannot be read as an integer


class NotAsExpected(Exception):
    """Nothing of what should have been written together was."""


def one_commit() -> AbstractContextManager[Any]:
    """A transaction around `together`, where that is not one by itself: on SQLite."""
    return nullcontext() if current().vendor == "postgresql" else transaction.atomic()


def together(*writes: Bound, given: Bound | None = None) -> list[int]:
    """Run these, in a transaction or in `one_commit`; how many rows each changed. On PostgreSQL those that add a row
    give it its key; SQLite does one after the other, and rows are stored before what names them
    (`database.bulk_insert`).

    `given`: a SELECT, without whose row nothing is written and nothing returned; the writes must be made to depend on
    it (see `insertion`).
    """
    connection = current()
    is_small = given is None and (not writes or (len(writes) == 1 and writes[0].adds is None))
    if is_small or connection.vendor == "sqlite":
        return [run(each) for each in writes]
    return _in_one(connection, writes, given)


def together_after(first: Bound, gives: str | int, *writes: Bound) -> list[int]:
    """Run these by one statement of PostgreSQL, where `first` gives this one value and each of the others some row.

    How many rows each of the others changed. `NotAsExpected` where it is not so, and then nothing was done.

    The statement fails then: unlike in `together` the writes need not depend on the first.
    """
    try:
        return _in_one(current(), writes, first, gives)
    except DataError as error:
        if getattr(error.__cause__, "sqlstate", None) == _NO_NUMBER:
            raise NotAsExpected from None
        raise


def run(write: Bound) -> int:
    """How many rows it changed."""
    return int(_run(current(), write.sql, write.values, _count))


def gives_row(reading: Bound) -> bool:
    """Whether a SELECT gives a row."""
    return _run(current(), reading.sql, reading.values, _first) is not None


def _in_one(
    connection: Any, writes: Sequence[Bound], given: Bound | None, expected: str | int | None = None
) -> list[int]:
    places = {id(each.adds): place for place, each in enumerate(writes) if each.adds is not None}
    parts, values = [], list(given.values) if given is not None else []
    for each in writes:
        named = []
        for at, value in enumerate(each.values):
            place = None if type(value) in PLAIN else places.get(id(value))
            if place is None:
                values.append(value)
            else:
                named.append((at, place))
        gives = "1" if each.adds is None else _column(each.adds)
        parts.append((each.sql, gives, tuple(named)))
    if expected is not None:
        values.append(expected)
    text = _joined(tuple(parts), None if given is None else given.sql, expects=expected is not None)
    found = _run(connection, text, values, _first)
    if expected is not None:
        found = found[1:]
    elif given is not None and found[-1] is None:
        return []
    for each, key in zip(writes, found, strict=False):
        if each.adds is not None:
            _keep(each.adds, key)
    return [1 if each.adds is not None else int(count) for each, count in zip(writes, found, strict=False)]


@lru_cache(maxsize=512)
def _joined(
    parts: tuple[tuple[str, str, tuple[tuple[int, int], ...]], ...], given: str | None, *, expects: bool
) -> str:
    """`parts`: the text of each, what it gives of its rows, and which of its values is the key of which part.

    `expects`: it fails where the value that `given` gives is not the last one of all, or a part changes no row.
    """
    withs = [f"{GIVEN} AS ({given})"] if given is not None else []
    shown = []
    for place, (sql, gives, named) in enumerate(parts):
        withs.append(f"w{place} AS ({_with_keys(sql, named)} RETURNING {gives} AS k)")
        shown.append(f"(SELECT {'count(*)' if gives == '1' else 'k'} FROM w{place})")  # noqa: S608
    if expects:
        changed = [f"{each} > 0" for each, (_, gives, _) in zip(shown, parts, strict=True) if gives == "1"]
        is_well = " AND ".join([f"(SELECT * FROM {GIVEN}) = %s", *changed])  # noqa: S608
        shown.insert(0, _ALL_IS_WELL.format(is_well))  # first: what comes before it would be done in vain
    elif given is not None:
        shown.append(f"(SELECT 1 FROM {GIVEN})")  # noqa: S608
    return f"WITH {', '.join(withs)} SELECT {', '.join(shown)}"


def _with_keys(sql: str, named: Sequence[tuple[int, int]]) -> str:
    """The text with the keys of other parts for some of its place-holders."""
    first, *rest = sql.split("%s")
    marks = {at: f"(SELECT k FROM w{place})" for at, place in named}  # noqa: S608
    return first + "".join(marks.get(at, "%s") + piece for at, piece in enumerate(rest))


def _run(connection: Any, sql: str, values: Sequence[Any], result: Callable[[Any], Any]) -> Any:
    return statement.execute(connection, sql, prepared(values, connection.vendor), result, is_reading=False)


def _column(row: Model) -> str:
    return str(row._meta.pk.column)


def _keep(row: Model, key: Any) -> None:
    row.pk = key
    row._state.adding = False
    row._state.db = DEFAULT_DB_ALIAS


def _count(cursor: Any) -> Any:
    return cursor.rowcount


def _first(cursor: Any) -> Any:
    return cursor.fetchone()
