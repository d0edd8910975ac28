"""A database connection is held for a transaction, never while waiting for another system."""

from django.db import close_old_connections, connection


def release_connection() -> None:
    """Give the connection back to its pool (PostgreSQL) or keep it (SQLite), unless a transaction is open."""
    if not connection.in_atomic_block:
        close_old_connections()
