"""Rows of models, made and stored by the way of one webhook: what Django does, without what nobody here needs of it.

Making a row of twenty columns as `Model(…)` costs more than storing it: a signal before and after, and a descriptor
for each column. Nothing here sends signals, and nothing here runs `save`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.utils import timezone

from database import statement
from database.connection import current
from database.model_rows import _shape
from database.statement import Bound, for_vendor
from database.values import Clock, prepared
from database.write_batch import GIVEN, gives_row, together, together_after


def next_key(model: type[Model]) -> str:
    """For a SELECT on PostgreSQL: the key of a row that is to be stored later. Nobody else gets it."""
    return f"nextval('{model._meta.db_table}_{model._meta.pk.column}_seq')"


def number(rows: Iterable[Model]) -> None:
    """On PostgreSQL: give each that has none its key before it is stored, in their order, by one statement."""
    left: dict[type[Model], list[Model]] = {}
    for row in rows:
        if row.pk is None:
            left.setdefault(type(row), []).append(row)
    if not left:
        return
    keys = sorted(_numbering(tuple(left)).rows(*map(len, left.values())))
    for row, (_, key) in zip(chain(*left.values()), keys, strict=True):
        row.pk = key


def insert(*rows: Model) -> None:
    """INSERT rows of one model with one statement; each gets its key. A `Clock` may stand for a time.

    What `bulk_create` does, at a tenth of its cost: no signals, no conflict handling, no expressions but `Clock`.
    """
    if not rows:
        return
    connection = current()
    shape = _shape(type(rows[0]))
    made = insertion(*rows)
    sql = f'{made.sql} RETURNING "{shape.key_column}"'
    values = prepared(made.values, connection.vendor)
    keys = statement.execute(connection, sql, values, _every, is_reading=False)
    for row, (key,) in zip(rows, keys, strict=True):
        row.__dict__[shape.key] = key
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS


def insertion(*rows: Model, given: bool = False) -> Bound:
    """The same for `together`: one row at least. A single one gets its key. What it refers to may be stored with it.

    Rows that have their keys (`next_key`) keep them: all of these, or none.
    `given`: only where the part of that name gives a row.
    """
    connection = current()
    model = type(rows[0])
    has_key = _has_key(rows[0])
    shape = _shape(model, has_key)
    values: list[Any] = []
    if shape.moments:
        _set_moments(rows, shape.moments)
    for row in rows:
        values += shape.columns(row.__dict__)
        for name, related in row._state.fields_cache.items():
            if related is not None and name in shape.places:
                values[shape.places[name] - shape.width] = related
    for place, field in shape.documents:
        for at in range(place, len(values), shape.width):
            values[at] = field.get_db_prep_save(values[at], connection)
    clocks = tuple(place for place, value in enumerate(values) if type(value) is Clock)
    for place in clocks:
        values[place] = values[place].seconds
    text = _insertion(model, has_key, len(rows), clocks, connection.vendor, given)
    return Bound(text, values, adds=rows[0] if len(rows) == 1 else None)


def store(*rows: Model, also: Iterable[Bound] = ()) -> list[int]:
    """Store rows of any models and run other writes, `together`; how many rows each of those changed.

    What a row refers to is stored already, or stands before it.
    """
    if current().vendor == "sqlite":
        store_alike(rows)
        return together(*also)
    parts = _parts(rows)
    counts = together(*parts, *also)
    _are_stored(rows)
    return counts[len(parts) :]


def store_given(given: Bound, *rows: Model) -> bool:
    """The same where this SELECT gives a row, which it keeps so until the commit; whether it did."""
    if current().vendor == "sqlite":
        if not gives_row(given):
            return False
        store_alike(rows)
        return True
    is_stored = bool(together(*(insertion(each, given=True) for each in rows), given=given))
    if is_stored:
        _are_stored(rows)
    return is_stored


def store_after(first: Bound, gives: str | int, *rows: Model, also: Iterable[Bound] = ()) -> None:
    """Store rows and run other writes by one statement of PostgreSQL: `write_batch.together_after`, which raises
    `NotAsExpected`.
    """
    together_after(first, gives, *_parts(rows), *also)
    _are_stored(rows)


def _parts(rows: Iterable[Model]) -> list[Bound]:
    """One for each, but for alike ones that follow each other and need not be told their keys."""
    parts: list[Bound] = []
    for (_, has_key), some in groupby(rows, _kind):
        alike = list(some)
        parts += [insertion(*alike)] if has_key else map(insertion, alike)
    return parts


def store_alike(rows: Iterable[Model]) -> None:
    """Store rows of any models: one statement for those that follow each other and are of one.

    What a row refers to is stored already, or stands before it and is of another model.
    """
    for _, some in groupby(rows, _kind):
        alike = list(some)
        _refer(alike)
        insert(*alike)


@lru_cache(maxsize=64)
def _numbering(models: Sequence[type[Model]]) -> statement.Statement:
    each = (
        f"SELECT {kind}, {next_key(model)} FROM generate_series(1, %s)"  # noqa: S608
        for kind, model in enumerate(models)
    )
    return statement.Statement(" UNION ALL ".join(each))


def _kind(row: Model) -> tuple[type[Model], bool]:
    return type(row), _has_key(row)


def _has_key(row: Model) -> bool:
    """Whether it was given one beforehand. One that was stored before, and rolled back, gets another."""
    return row._state.adding and row.__dict__[_shape(type(row)).key] is not None


def _are_stored(rows: Sequence[Model]) -> None:
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    _refer(rows)


def _refer(rows: Iterable[Model]) -> None:
    """Name the keys of what was stored with them."""
    for row in rows:
        keys = _shape(type(row)).keys
        for name, related in row._state.fields_cache.items():
            if related is not None and (key := keys.get(name)) is not None:
                row.__dict__[key] = related.pk


def _every(cursor: Any) -> Any:
    return cursor.fetchall()


def _set_moments(rows: Iterable[Model], names: Sequence[str]) -> None:
    """Columns that are set to the moment at which the row is stored."""
    now = timezone.now()
    for row in rows:
        for name in names:
            if row.__dict__[name] is None:
                row.__dict__[name] = now


@lru_cache(maxsize=512)
def _insertion(
    model: type[Model], has_key: bool, rows: int, clocks: tuple[int, ...], vendor: str, given: bool
) -> str:
    shape = _shape(model, has_key)
    names = ", ".join(f'"{each.column}"' for each in shape.fields)
    marks = ["%s"] * (shape.width * rows)
    for place in clocks:
        marks[place] = "{clock}"
    into = f'INSERT INTO "{shape.table}" ({names})'
    if given:  # of one row; a SELECT does not learn from the columns what its values are
        types = [each.db_type(current()) for each in shape.fields]
        typed = (f"CAST({mark} AS {type_})" for mark, type_ in zip(marks, types, strict=True))
        return for_vendor(f"{into} SELECT {', '.join(typed)} FROM {GIVEN}", vendor)  # noqa: S608
    tuples = (
        f"({', '.join(marks[start : start + shape.width])})" for start in range(0, len(marks), shape.width)
    )
    return for_vendor(f"{into} VALUES {', '.join(tuples)}", vendor)
