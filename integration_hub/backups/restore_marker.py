"""Mark a database whose restore has not ended, so that no process of the hub starts with it."""

from django.db import connection

from integration_hub.database_markers import RESTORE_MARKER


def mark_restoring(backup: str) -> None:
    """Create the marker, which names the backup by its hash."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {RESTORE_MARKER} (backup varchar(64) NOT NULL)")
        cursor.execute(f"INSERT INTO {RESTORE_MARKER} (backup) VALUES (%s)", [backup])  # noqa: S608


def marked_backup() -> str:
    """Return the hash of the backup whose restore has not ended; empty if there is none."""
    with connection.cursor() as cursor:
        if RESTORE_MARKER not in connection.introspection.table_names(cursor):
            return ""
        cursor.execute(f"SELECT backup FROM {RESTORE_MARKER}")  # noqa: S608
        row = cursor.fetchone()
        return str(row[0]) if row else "unknown"


def delete_marker() -> None:
    """Delete the marker: the restore has ended."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {RESTORE_MARKER}")
