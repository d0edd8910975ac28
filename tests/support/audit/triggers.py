"""The triggers that refuse changes of the audit log, switched off."""

from django.db import connection


def unguard() -> None:
    """As who owns the database can: no trigger fires any more in this transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
            return
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TRIGGER {name}")
