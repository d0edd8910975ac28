"""Model instances without `Model.__init__`: made from values, or read from the columns of a row."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import NOT_PROVIDED, JSONField, Model
from django.db.models.base import ModelState

from database.connection import thread_connection
from database.values import parse_optional_timestamp

M = TypeVar("M", bound=Model)


def new_row(model: type[M], **values: Any) -> M:
    """Return a model instance with these values, as `model(**values)` does, at a fraction of its cost.

    A foreign key takes a stored row, or its key under `…_id`. Raises KeyError for an unknown field.
    """
    shape = model_facts(model)
    row = model.__new__(model)
    state = ModelState()
    cache: dict[str, Any] = {}
    state.fields_cache = cache
    held = row.__dict__
    held["_state"] = state
    held.update(shape.defaults)
    for name, make in shape.default_factories:
        if name not in values:
            held[name] = make()
    for name, value in values.items():
        key = shape.key_attributes[name]
        if key is None:
            held[name] = value
        else:
            held[key] = None if value is None else value.pk
            cache[name] = value
    return row


def select_list(model: type[Model], table: str) -> str:
    """Return all columns of a model for a SELECT in which its table is called `table`: see `row_from_columns`."""
    return ", ".join(f"{table}.{field.column}" for field in model._meta.concrete_fields)


def row_from_columns(model: type[M], values: Sequence[Any]) -> M:
    """Return a model instance from the values of all its columns, as the driver returned them."""
    row = model.__new__(model)
    state = ModelState()
    state.adding, state.db, state.fields_cache = False, DEFAULT_DB_ALIAS, {}
    row.__dict__["_state"] = state
    for (name, read), value in zip(_column_readers(model), values, strict=True):
        row.__dict__[name] = value if value is None or read is None else read(value)
    return row


def rows_from_columns(models: Sequence[type[Model]], values: Sequence[Any]) -> list[Any]:
    """Return instances of several models from one joined row. None for a model that an outer join did not find."""
    rows: list[Any] = []
    start = 0
    for model in models:
        end = start + len(_column_readers(model))
        own, start = values[start:end], end
        # A stored row always has a primary key, so NULLs alone mean that the join found none.
        rows.append(None if all(value is None for value in own) else row_from_columns(model, own))
    return rows


@lru_cache(maxsize=64)
def _column_readers(model: type[Model]) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    """Return each column's attribute with the function that converts the driver's value, or None."""
    return tuple((field.attname, _column_reader(field)) for field in model._meta.concrete_fields)


def _column_reader(field: Any) -> Callable[[Any], Any] | None:
    if type(field) is JSONField:
        # What `from_db_value` does, without its arguments.
        return partial(json.loads, cls=field.decoder)
    read = getattr(field, "from_db_value", None)
    if read is None:
        return _READERS_BY_FIELD_TYPE.get(field.get_internal_type())
    return lambda value: read(value, None, thread_connection())


# For columns that a driver returns as another type: SQLite has none for times, booleans and UUIDs.
_READERS_BY_FIELD_TYPE: Mapping[str, Callable[[Any], Any]] = {
    "BinaryField": bytes,
    "BooleanField": bool,
    "DateTimeField": parse_optional_timestamp,
    "UUIDField": lambda value: value if isinstance(value, uuid.UUID) else uuid.UUID(value),
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a model that are needed to build its rows, computed once.

    `fields` are all fields but the primary key, and `read_columns` takes their values out of a row's `__dict__`.
    `key_attributes` maps each name that `new_row` accepts to the attribute of the foreign key if it is a relation, else
    to None. `relation_positions` and `json_fields` are positions among `fields`.
    """

    table: str
    key_attribute: str
    key_column: str
    fields: tuple[Any, ...]
    read_columns: Callable[[dict[str, Any]], tuple[Any, ...]]
    column_count: int
    defaults: Mapping[str, Any]
    default_factories: tuple[tuple[str, Callable[[], Any]], ...]
    key_attributes: Mapping[str, str | None]
    relation_positions: Mapping[str, int]
    auto_now_attributes: tuple[str, ...]
    json_fields: tuple[tuple[int, Any], ...]


@lru_cache(maxsize=64)
def model_facts(model: type[Model]) -> ModelFacts:
    all_fields = model._meta.concrete_fields
    fields = [field for field in all_fields if not field.primary_key]
    made = tuple((field.attname, field.default) for field in all_fields if callable(field.default))
    is_moment = [
        getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False) for field in fields
    ]
    keys: dict[str, str | None] = {field.attname: None for field in all_fields}
    keys |= {field.name: field.attname for field in all_fields if field.is_relation}
    return ModelFacts(
        table=model._meta.db_table,
        key_attribute=model._meta.pk.attname,
        key_column=str(model._meta.pk.column),
        fields=tuple(fields),
        read_columns=itemgetter(*(field.attname for field in fields)),
        column_count=len(fields),
        defaults={field.attname: _static_default(field) for field in all_fields},
        default_factories=tuple(factory for factory in made if factory[1] is not NOT_PROVIDED),
        key_attributes=keys,
        relation_positions={field.name: index for index, field in enumerate(fields) if field.is_relation},
        auto_now_attributes=tuple(
            field.attname for field, is_one in zip(fields, is_moment, strict=True) if is_one
        ),
        json_fields=tuple(
            (index, field) for index, field in enumerate(fields) if isinstance(field, JSONField)
        ),
    )


def _static_default(field: Any) -> Any:
    """Return a field's default as Django has it. None if a factory makes it for each row."""
    return None if callable(field.default) and field.has_default() else field.get_default()
