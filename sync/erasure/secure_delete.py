"""That deleted bytes do not stay behind in the files of the database, as far as the database lets us."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import DatabaseError, connection

logger = logging.getLogger("hub.erasing")

_INSERT_ONLY_APP = "audit"  # the app in whose tables erasing changes nothing


def erasable_tables() -> list[str]:
    """Every table in which something of a person may have been: all but those that nobody can change."""
    models = apps.get_models(include_auto_created=True)
    return sorted({each._meta.db_table for each in models if each._meta.app_label != _INSERT_ONLY_APP})


@contextmanager
def overwriting_deleted_rows() -> Iterator[None]:
    """SQLite overwrites with zeros what this connection deletes, and its write-ahead log is emptied afterwards.
    PostgreSQL clears dead rows out of the tables. What else remains, and where, stands in docs/audit.md.
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
    """Outside a transaction. What is not done now is done by the next erasure: nothing of it is worth failing for."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        logger.warning("%s could not be run; the next erasure does it", statement)
