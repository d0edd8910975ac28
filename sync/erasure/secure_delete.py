"""Overwrite deleted bytes in the files of the database, as far as the database supports it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import DatabaseError, connection

logger = logging.getLogger("hub.erasing")

# The app in whose tables erasing changes nothing.
_INSERT_ONLY_APP = "audit"


def erasable_tables() -> list[str]:
    """Return all tables that may have held personal data: all but the insert-only ones."""
    models = apps.get_models(include_auto_created=True)
    return sorted({model._meta.db_table for model in models if model._meta.app_label != _INSERT_ONLY_APP})


@contextmanager
def overwriting_deleted_rows() -> Iterator[None]:
    """Overwrite the bytes of rows that are deleted within this context.

    SQLite overwrites deleted bytes with zeros and empties its write-ahead log afterwards; PostgreSQL vacuums
    the tables. docs/operations/run.md lists the copies that remain.
    """
    if connection.vendor == "sqlite":
        with _sqlite_secure_delete():
            yield
        _execute_or_warn("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    yield
    for table in erasable_tables():
        _execute_or_warn(f'VACUUM "{table}"')


@contextmanager
def _sqlite_secure_delete() -> Iterator[None]:
    _execute_or_warn("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        _execute_or_warn("PRAGMA secure_delete = OFF")


def _execute_or_warn(statement: str) -> None:
    """Run a statement outside a transaction. A failure is logged only: the next erasure runs the same
    statement.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        logger.warning("%s could not be run; the next erasure runs it", statement)
