"""Rows of models, made and stored by the way of one webhook: what Django does, without what nobody here needs of it.

Making a row of twenty columns as `Model(…)` costs more than storing it: a signal before and after, and a descriptor
for each column. Nothing here sends signals, and nothing here runs `save`.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import NOT_PROVIDED, JSONField, Model
from django.db.models.base import ModelState
from django.utils import timezone

from audit import statements
from audit.joining import GIVEN, gives_row, together, together_after
from audit.statements import Bound, Clock, as_time, current, for_vendor, prepared

M = TypeVar("M", bound=Model)


def fresh(model: type[M], **values: Any) -> M:
    """What `model(**values)` makes. A foreign key takes a row that is stored, or under `…_id` its key.

    `KeyError` for a name that is no field.
    """
    shape = _shape(model)
    row = model.__new__(model)
    state = ModelState()
    cache: dict[str, Any] = {}
    state.fields_cache = cache
    held = row.__dict__
    held["_state"] = state
    held.update(shape.defaults)
    for name, make in shape.made:
        if name not in values:
            held[name] = make()
    for name, value in values.items():
        key = shape.keys[name]
        if key is None:
            held[name] = value
        else:
            held[key] = None if value is None else value.pk
            cache[name] = value
    return row


def columns_of(model: type[Model], table: str) -> str:
    """All columns of a model for a SELECT in which its table is called `table`; `stored` takes their values."""
    return ", ".join(f"{table}.{each.column}" for each in model._meta.concrete_fields)


def stored(model: type[M], values: Sequence[Any]) -> M:
    """The row of these values of all its columns, as the driver gave them."""
    row = model.__new__(model)
    state = ModelState()
    state.adding, state.db, state.fields_cache = False, DEFAULT_DB_ALIAS, {}
    row.__dict__["_state"] = state
    for (name, read), value in zip(_readers(model), values, strict=True):
        row.__dict__[name] = value if value is None or read is None else read(value)
    return row


def stored_side_by_side(models: Sequence[type[Model]], values: Sequence[Any]) -> list[Any]:
    """The rows of several models, of the values of all their columns; None for one that an outer join did not find."""
    rows: list[Any] = []
    start = 0
    for model in models:
        end = start + len(_readers(model))
        own, start = values[start:end], end
        rows.append(None if all(each is None for each in own) else stored(model, own))
    return rows


@lru_cache(maxsize=64)
def _readers(model: type[Model]) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    """The attribute of each column, and what makes its value of the driver's."""
    return tuple((each.attname, _reader(each)) for each in model._meta.concrete_fields)


def _reader(field: Any) -> Callable[[Any], Any] | None:
    read = getattr(field, "from_db_value", None)
    if read is None:
        return _READ.get(field.get_internal_type())
    return lambda value: read(value, None, current())


_READ: Mapping[str, Callable[[Any], Any]] = {
    "BinaryField": bytes,
    "BooleanField": bool,
    "DateTimeField": as_time,
    "UUIDField": lambda value: value if isinstance(value, uuid.UUID) else uuid.UUID(value),
}


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
    keys = statements.execute(connection, sql, values, _every, is_reading=False)
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
    """Store rows and run other writes by one statement of PostgreSQL: `joining.together_after`, which raises
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
def _numbering(models: Sequence[type[Model]]) -> statements.Statement:
    each = (
        f"SELECT {kind}, {next_key(model)} FROM generate_series(1, %s)"  # noqa: S608
        for kind, model in enumerate(models)
    )
    return statements.Statement(" UNION ALL ".join(each))


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


@dataclass(frozen=True, slots=True)
class _Shape:
    """What there is to know of a model. `columns` takes the values of `fields`, which are all, or all but the key, out
    of a row's dictionary; `keys` has each name that `fresh` takes, and of a relation where its key stands; `places`:
    where that is among the columns; `documents` are columns whose field has to prepare the value.
    """

    table: str
    key: str
    key_column: str
    fields: tuple[Any, ...]
    columns: Callable[[dict[str, Any]], tuple[Any, ...]]
    width: int
    defaults: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    keys: Mapping[str, str | None]
    places: Mapping[str, int]
    moments: tuple[str, ...]
    documents: tuple[tuple[int, Any], ...]


@lru_cache(maxsize=64)
def _shape(model: type[Model], has_key: bool = False) -> _Shape:
    every = model._meta.concrete_fields
    fields = [each for each in every if has_key or not each.primary_key]
    made = tuple((each.attname, each.default) for each in every if callable(each.default))
    is_moment = [getattr(each, "auto_now", False) or getattr(each, "auto_now_add", False) for each in fields]
    keys: dict[str, str | None] = {each.attname: None for each in every}
    keys |= {each.name: each.attname for each in every if each.is_relation}
    return _Shape(
        table=model._meta.db_table,
        key=model._meta.pk.attname,
        key_column=str(model._meta.pk.column),
        fields=tuple(fields),
        columns=itemgetter(*(each.attname for each in fields)),
        width=len(fields),
        defaults={each.attname: _default(each) for each in every},
        made=tuple(each for each in made if each[1] is not NOT_PROVIDED),
        keys=keys,
        places={each.name: place for place, each in enumerate(fields) if each.is_relation},
        moments=tuple(each.attname for each, is_one in zip(fields, is_moment, strict=True) if is_one),
        documents=tuple((place, each) for place, each in enumerate(fields) if isinstance(each, JSONField)),
    )


def _default(field: Any) -> Any:
    """The value of a field that nobody gave one, as Django has it; what is made anew for each row comes later."""
    return None if callable(field.default) and field.has_default() else field.get_default()


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
