"""A database connection is held for a transaction, never while waiting for another system."""

from audit.statements import current


def release_connection() -> None:
    """Give the connection back to its pool (PostgreSQL) or keep it (SQLite), unless a transaction is open."""
    held = current()
    if held.connection is None or held.in_atomic_block:
        return
    if held.close_at is not None or held.errors_occurred or not held.autocommit:
        held.close_if_unusable_or_obsolete()
