"""Bounds of row ids: one inserted row must not use up the ids of a table.

SQLite gives a row the highest id that the table ever had plus 1. After a row with the highest possible id every insert
fails, for ever. So ids end at `MAX_ID`, and a statement that names an id itself may name a small one only: after that
there are more than four million times as many left as were used. PostgreSQL counts by sequences, which no row moves.
"""

from typing import Any

from django.db.models import CheckConstraint, Q

# Packed ids of audit segments have nine bytes, so there is room above.
MAX_ID = 2**62
_MAX_NAMED_ID = 2**40


def id_bound(table: str, column: str = "id") -> CheckConstraint:
    """Return the constraint that ids of a table are below `MAX_ID`. `table`: begins the constraint's name."""
    return CheckConstraint(condition=Q(**{f"{column}__lt": MAX_ID}), name=f"{table}_{column}_bound")


def create_id_triggers(schema_editor: Any, *tables: str) -> None:
    """On SQLite, refuse rows of these tables to which a statement gives an id that the database would not give."""
    if schema_editor.connection.vendor != "sqlite":
        return
    # Before the insert, NEW.id is -1 unless the statement names it.
    for table in tables:
        refuse = (
            f"WHEN NEW.id >= {_MAX_NAMED_ID} BEGIN SELECT RAISE(ABORT, '{table}: the id is too high'); END"
        )
        schema_editor.execute(f"CREATE TRIGGER {table}_id_insert BEFORE INSERT ON {table} {refuse}")
        schema_editor.execute(f"CREATE TRIGGER {table}_id_update BEFORE UPDATE OF id ON {table} {refuse}")
