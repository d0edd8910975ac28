"""Rows that name a row that does not exist: what foreign keys without a constraint do not refuse."""

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.db.models import ForeignKey

Rows = Callable[[str], list[tuple[Any, ...]]]
_APPS = ("audit", "webhooks", "sync", "exports", "console")


def unconstrained() -> list["ForeignKey[Any, Any]"]:
    """Return the foreign keys of the hub's tables that the database does not check."""
    models = (model for label in _APPS for model in apps.get_app_config(label).get_models())
    return [
        field
        for model in models
        for field in model._meta.local_fields
        if isinstance(field, ForeignKey) and not field.db_constraint
    ]


def find_orphans(rows: Rows) -> Iterator[str]:
    """Yield a line for each foreign key that names rows that do not exist. `rows` runs a query."""
    for field in unconstrained():
        table, parent = field.model._meta.db_table, field.related_model._meta.db_table
        column, key = field.column, field.target_field.column
        query = (
            f"SELECT count(*) FROM {table} c WHERE c.{column} IS NOT NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})"
        )
        if number := int(rows(query)[0][0]):
            yield f"{number} rows of {table} name a {parent} in {column} that does not exist"
