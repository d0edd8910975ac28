"""Ways past the triggers and constraints that refuse changes of the audit log."""

import re
from collections.abc import Sequence

from django.db import connection, models, transaction


def drop_unique_constraints(model: type[models.Model]) -> None:
    """Drop all unique constraints and indexes of a table but its primary key, in the open transaction."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'u'", [table]
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            cursor.execute(
                "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexdef LIKE 'CREATE UNIQUE%%'"
                " AND indexname NOT LIKE '%%_pkey'",
                [table],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP INDEX "{name}"')
            return
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = %s"
            " AND sql LIKE 'CREATE UNIQUE%%'",
            [table],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP INDEX "{name}"')
        # SQLite drops no constraint of a table: the table is made again without them.
        cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s", [table])
        (sql,) = cursor.fetchone()
        without = re.sub(r',\s*CONSTRAINT "[^"]+" UNIQUE \([^)]*\)', "", sql)
        without = re.sub(r"\bUNIQUE\b(?!\s*\()", "", without)
        cursor.execute(f"CREATE TEMP TABLE copied_rows AS SELECT * FROM {table}")
        cursor.execute(f"DROP TABLE {table}")
        cursor.execute(without)
        cursor.execute(f"INSERT INTO {table} SELECT * FROM copied_rows")
        cursor.execute("DROP TABLE copied_rows")


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
