"""A way past the triggers that refuse changes of the audit log."""

from collections.abc import Sequence

from django.db import connection, transaction


def disable_triggers() -> None:
    """Disable all triggers for this transaction, as the owner of the database can."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
    # A rollback brings them back too. Other tests of this process have the same database.
    transaction.on_commit(lambda: _create([sql for _, sql in triggers]))


def _create(statements: Sequence[str]) -> None:
    # In a transaction: the thread's own connection may still read what was before.
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
