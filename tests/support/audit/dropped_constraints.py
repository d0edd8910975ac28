"""Tables without their constraints, as the owner of a database can leave them."""

import re

from django.db import connection, models


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
