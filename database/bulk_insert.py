"""INSERT statements for rows of models: what `bulk_create` does, at a tenth of its cost.

No signals, no conflict handling, no expressions but `DatabaseTime`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.utils import timezone

from database import statement
from database.model_rows import model_facts
from database.statement import sql_for_vendor
from database.values import DatabaseTime


def insert_rows(rows: Sequence[Model], connection: Any) -> None:
    """Insert rows of one model by one statement, and set their primary keys."""
    sql, values = make_insert(rows, connection)
    keys = statement.execute_sql(connection, sql, values, statement.all_rows, is_read=False)
    mark_as_stored(rows, [key for (key,) in keys])


def make_insert(rows: Sequence[Model], connection: Any) -> tuple[str, list[Any]]:
    """Return the INSERT of rows of one model, which returns their primary keys, and its values.

    A foreign key to an instance is that instance among the values: it may get its key from the same batch.
    """
    model = type(rows[0])
    shape = model_facts(model)
    values: list[Any] = []
    if shape.auto_now_attributes:
        _set_auto_now(rows, shape.auto_now_attributes)
    for row in rows:
        values += shape.read_columns(row.__dict__)
        # A row of the same batch has no key yet: the instance takes its place until the batch fills it in.
        for name, related in row._state.fields_cache.items():
            if related is not None and name in shape.relation_positions:
                values[shape.relation_positions[name] - shape.column_count] = related
    for place, field in shape.json_fields:
        for at in range(place, len(values), shape.column_count):
            values[at] = field.get_db_prep_save(values[at], connection)
    # Positions of the clock are part of the text, so that one cached text serves all rows of this shape.
    clocks = tuple(place for place, value in enumerate(values) if type(value) is DatabaseTime)
    for place in clocks:
        values[place] = values[place].seconds
    return _insert_text(model, len(rows), clocks, connection.vendor), values


def mark_as_stored(rows: Sequence[Model], keys: Sequence[Any]) -> None:
    """Give rows the primary keys under which they were inserted, and those of the rows that they refer to."""
    shape = model_facts(type(rows[0]))
    for row, key in zip(rows, keys, strict=True):
        row.__dict__[shape.key_attribute] = key
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS
        for name, related in row._state.fields_cache.items():
            if related is not None and (attribute := shape.key_attributes.get(name)) is not None:
                row.__dict__[attribute] = related.pk


def mark_as_new(rows: Iterable[Model]) -> None:
    """Take back the primary keys of rows whose transaction failed."""
    for row in rows:
        row.pk = None
        row._state.adding = True


def _set_auto_now(rows: Iterable[Model], names: Sequence[str]) -> None:
    """Set the columns that contain the time at which a row is stored."""
    now = timezone.now()
    for row in rows:
        for name in names:
            if row.__dict__[name] is None:
                row.__dict__[name] = now


@lru_cache(maxsize=512)
def _insert_text(model: type[Model], rows: int, clocks: tuple[int, ...], vendor: str) -> str:
    shape = model_facts(model)
    names = ", ".join(f'"{field.column}"' for field in shape.fields)
    marks = ["%s"] * (shape.column_count * rows)
    for place in clocks:
        marks[place] = "{clock}"
    tuples = (
        f"({', '.join(marks[start : start + shape.column_count])})"
        for start in range(0, len(marks), shape.column_count)
    )
    into = f'INSERT INTO "{shape.table}" ({names}) VALUES {", ".join(tuples)}'  # noqa: S608
    return sql_for_vendor(f'{into} RETURNING "{shape.key_column}" AS k', vendor)
