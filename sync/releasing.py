"""A database connection is held for a transaction, never while waiting for another system."""

from django.db import DEFAULT_DB_ALIAS, connections


def release_connection() -> None:
    """Give the connection back to its pool (PostgreSQL) or keep it (SQLite), unless a transaction is open."""
    held = connections[DEFAULT_DB_ALIAS]
    if held.connection is not None and not held.in_atomic_block:
        held.close_if_unusable_or_obsolete()
