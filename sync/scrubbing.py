"""That deleted bytes do not stay behind in the files of the database, as far as the database lets us."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection

logger = logging.getLogger("hub.erasing")

TABLES = (
    *("webhooks_payload", "webhooks_subjectkey", "webhooks_event", "webhooks_receipt"),
    *("sync_delivery", "sync_attempt", "sync_call", "sync_link", "sync_replay", "sync_erasure"),
)


@contextmanager
def leaving_nothing_behind() -> Iterator[None]:
    """SQLite overwrites with zeros what this connection deletes, and its write-ahead log is emptied afterwards.
    PostgreSQL clears dead rows out of the tables. What else remains, and where, stands in docs/audit.md.
    """
    if connection.vendor == "sqlite":
        with _overwriting():
            yield
        _run("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    yield
    for table in TABLES:
        _run(f"VACUUM {table}")


@contextmanager
def _overwriting() -> Iterator[None]:
    _run("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        _run("PRAGMA secure_delete = OFF")


def _run(statement: str) -> None:
    """Outside a transaction. What is not done now is done by the next erasure: nothing of it is worth failing for."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        logger.warning("%s could not be run; the next erasure does it", statement)
