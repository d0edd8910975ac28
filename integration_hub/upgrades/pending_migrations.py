"""The migrations that have not run, with the tables that their SQL reads or rewrites and what cannot be undone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.fields import RemoveField
from django.db.migrations.operations.models import DeleteModel

_REWRITES = re.compile(
    r'^\s*(?:INSERT INTO "new__(?P<copied>\w+)"|UPDATE "(?P<updated>\w+)"|ALTER TABLE "(?P<altered>\w+)" ALTER COLUMN '
    r'"\w+" TYPE\b)'
)
_READS = re.compile(
    r'^\s*(?:CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?"\w+" ON "(?P<indexed>\w+)"|ALTER TABLE "(?P<checked>\w+)" '
    r'(?:ADD CONSTRAINT|VALIDATE CONSTRAINT|ALTER COLUMN "\w+" SET NOT NULL))'
)
# Of a machine with a local disk, for rows of a few hundred bytes.
SECONDS_A_MILLION = {"rewrite": 12.0, "read": 3.0}


@dataclass(frozen=True, slots=True)
class TableWork:
    """A table that a migration reads or rewrites (`rewrite` or `read`), with its approximate number of rows."""

    table: str
    kind: str
    rows: int

    @property
    def seconds(self) -> float:
        """Return about how long it takes."""
        return self.rows / 1e6 * SECONDS_A_MILLION[self.kind]


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """One migration that has not run. `irreversible`: what cannot be undone. `unmeasured`: operations without SQL."""

    name: str
    operations: tuple[str, ...]
    work: tuple[TableWork, ...]
    irreversible: tuple[str, ...]
    unmeasured: tuple[str, ...]


def pending_migrations(alias: str = "default") -> list[PendingMigration]:
    """Return the migrations of all apps that `migrate` would run, in its order. Changes nothing."""
    connection = connections[alias]
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    existing = set(connection.introspection.table_names())
    pending, state = [], None
    for migration, _ in plan:
        state = state or executor.loader.project_state((migration.app_label, migration.name), at_end=False)
        with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
            state = migration.apply(state, editor, collect_sql=True)
        work = [
            TableWork(table, kind, estimate_rows(connection, table))
            for table, kind in sorted(_tables_in(editor.collected_sql).items())
            if table in existing
        ]
        pending.append(
            PendingMigration(
                f"{migration.app_label}.{migration.name}",
                tuple(operation.describe() for operation in migration.operations),
                tuple(work),
                tuple(_irreversible_operations(migration)),
                tuple(op.describe() for op in migration.operations if isinstance(op, RunPython)),
            )
        )
    return pending


def _tables_in(statements: list[str]) -> dict[str, str]:
    """Return what the statements do to tables: `rewrite`, or `read` where no statement does more."""
    tables: dict[str, str] = {}
    for statement in statements:
        for pattern, kind in ((_READS, "read"), (_REWRITES, "rewrite")):
            if found := pattern.match(statement):
                table = next(name for name in found.groups() if name)
                tables[table] = kind if kind == "rewrite" else tables.get(table, kind)
    return {table.removeprefix("new__"): kind for table, kind in tables.items()}


def _irreversible_operations(migration: Migration) -> Iterator[str]:
    for operation in migration.operations:
        if isinstance(operation, RemoveField | DeleteModel):
            yield f"{operation.describe()}: what is stored there is deleted"
        elif not operation.reversible:
            yield operation.describe()


def estimate_rows(connection: Any, table: str) -> int:
    """Return about how many rows a table has, without reading all of them: by its statistics, or by its row ids."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", [table])
            rows = int(cursor.fetchone()[0])
            if rows >= 0:
                return rows
            # Never analyzed, so it is new or small.
            cursor.execute(f'SELECT count(*) FROM (SELECT 1 FROM "{table}" LIMIT 1000000) x')  # noqa: S608
            return int(cursor.fetchone()[0])
        cursor.execute(f'SELECT (SELECT max(rowid) FROM "{table}") - (SELECT min(rowid) FROM "{table}") + 1')  # noqa: S608
        return int(cursor.fetchone()[0] or 0)
