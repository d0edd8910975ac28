"""Rows with a value that cannot be read: a page that needs such a row answers 409 and names it.

The hub does not write such values. `verify_audit` reports them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime
from itertools import islice
from traceback import walk_tb
from types import CodeType
from typing import Any

from django.contrib import admin
from django.db.backends.utils import CursorWrapper
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.db.utils import DatabaseErrorWrapper
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from config_schema.codes.reference import from_reference
from console.base.forms import parse_pk
from exports.bundle.unreadable_rows import (
    EVENT_TABLES,
    invalid_column_names,
    is_valid_column_value,
)
from exports.damaged_values import READ_ERRORS, is_damage
from webhooks.models import Event

MAX_ROWS = 500  # searched in each table, once a page has failed
MAX_NAMED = 20
# The code that fetches and converts what the database returned. An error in it is about a stored value. By reference
# and not by name, so that another version of Django fails here and not on a damaged row.
_CONVERSIONS = frozenset(
    {
        SQLCompiler.apply_converters.__code__,
        CursorWrapper.__iter__.__code__,
        # Wraps the driver's fetchone, fetchmany and fetchall.
        *(code for code in DatabaseErrorWrapper.__call__.__code__.co_consts if isinstance(code, CodeType)),
    }
)


@dataclass(frozen=True)
class DamagedRow:
    """A row that cannot be shown. `columns` are the damaged columns; empty if a row that it refers to is damaged."""

    model: type[Model]
    pk: int
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.model._meta.db_table} {self.pk}: {', '.join(self.columns) or 'a related row'}"

    @property
    def name(self) -> str:
        """Return what people call the row: the kind and the key."""
        return f"{capfirst(str(self.model._meta.verbose_name))} {self.pk}"

    @property
    def sentence(self) -> str:
        """Return what is damaged."""
        if not self.columns:
            return _("A stored value in this row, or in a row that belongs to it, cannot be read.")
        return _("Stored values that cannot be read: %(columns)s.") % {"columns": ", ".join(self.columns)}


class DamagedValue(Exception):
    """Raised if a page needs rows that have damaged columns. Names at most 20 of them."""

    def __init__(self, rows: Iterable[DamagedRow]) -> None:
        super().__init__("a stored value cannot be read")
        self.rows = tuple(islice(rows, MAX_NAMED))


def load_rows(rows: QuerySet[Any]) -> list[Any]:
    """Return the rows, by one statement. Raises DamagedValue if one of them cannot be shown."""
    try:
        found = list(rows)
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        # One value that cannot be converted hides all rows, so they are read one by one.
        keys = list(rows.values_list("pk", flat=True))
        raise DamagedValue(
            _damaged_row(rows.model, key) for key in keys if not _is_loadable(rows, key)
        ) from error
    require_readable(found)
    return found


def require_readable(rows: Iterable[Model]) -> None:
    """Raise DamagedValue if a row, or one loaded with it, has a damaged column. Django reads some texts that are no
    times as None.
    """
    if damaged := [_damaged_row(type(part), part.pk) for row in rows for part in _damaged_parts(row)]:
        raise DamagedValue(damaged)


def find_damage(request: HttpRequest, error: Exception) -> tuple[DamagedRow, ...] | None:
    """Return the damaged rows that made a page fail, empty if they are not known; None if the error has another
    cause.
    """
    if isinstance(error, DamagedValue):
        return error.rows
    if not (isinstance(error, READ_ERRORS) and is_damage(error)):
        return None
    if rows := tuple(_damaged_rows_of_page(request))[:MAX_NAMED]:
        return rows
    return () if _is_conversion_error(error) else None


def _is_loadable(rows: QuerySet[Any], key: int) -> bool:
    row = rows.all()
    row.query.clear_limits()
    try:
        found = row.order_by().filter(pk=key).first()
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return False
    return found is None or next(_damaged_parts(found), None) is None


def _damaged_row(model: type[Model], key: int) -> DamagedRow:
    return DamagedRow(model, key, tuple(invalid_column_names(model, key)))


def _damaged_parts(row: Model) -> Iterator[Model]:
    """Yield the row, and the rows loaded with it that it refers to, if a column or an annotation cannot be shown."""
    values = row.__dict__
    fields = [field for field in row._meta.concrete_fields if field.attname in values]
    # The time of an annotation has no field. In the first or last year it may have no local time.
    times = (value for value in values.values() if isinstance(value, datetime))
    if not (
        all(MINYEAR < time.year < MAXYEAR for time in times)
        and all(is_valid_column_value(field, values[field.attname]) for field in fields)
    ):
        yield row
    for field in fields:
        part = getattr(row, field.name) if isinstance(field, ForeignKey) and field.is_cached(row) else None
        if part is not None:
            yield from _damaged_parts(part)


def _damaged_rows_of_page(request: HttpRequest) -> Iterator[DamagedRow]:
    """Yield the damaged rows among the row that the address names and, for an event, all rows under it."""
    match = request.resolver_match
    named = match and (match.kwargs.get("object_id") or match.kwargs.get("pk"))
    if not (match and named):
        return
    model = _model_of_page(match.url_name or "")
    if model is None or (key := _key_of(model, str(named))) is None:
        return
    tables = [(table, path) for table, _name, path in EVENT_TABLES] if model is Event else [(model, "pk")]
    for table, path in tables:
        try:
            load_rows(table._default_manager.filter(**{path: key}).order_by("pk")[:MAX_ROWS])
        except DamagedValue as damage:
            yield from damage.rows


def _model_of_page(url_name: str) -> type[Model] | None:
    models = (model for model in admin.site._registry if url_name.startswith(_url_prefix(model)))
    return max(models, key=lambda model: len(_url_prefix(model)), default=None)


def _url_prefix(model: type[Model]) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_"


def _key_of(model: type[Model], named: str) -> int | None:
    if model is Event:
        try:
            return Event.objects.filter(uuid=from_reference(named)).values_list("pk", flat=True).first()
        except ValueError:
            pass
    return parse_pk(named)


def _is_conversion_error(error: Exception) -> bool:
    return any(frame.f_code in _CONVERSIONS for frame, _line in walk_tb(error.__traceback__))
