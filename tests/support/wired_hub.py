"""A hub that is connected to the stand-in services, and the cleanup of its database."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.test import Client

from devtools.sandbox_setup import SandboxSystems, seed_configuration
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.models import Route
from tests.support.hub import SIGNING_SECRET, Hub
from webhooks.models.rate_limit import forget_quotas

Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]
_seeded: dict[tuple[SandboxSystems, str], Rows] = {}
"""The rows that `seed_configuration` wrote, by table, for these systems and sealing keys: `seed` takes 50 ms, copying its rows 5 ms."""

FILLED_BY_MIGRATIONS = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
    "webhooks_pepper",
}


@contextmanager
def connected_hub(identity: IdentityService, shop: ShopService) -> Iterator[Hub]:
    """Yield a hub that is connected to the stand-in services, as `make run` connects them; wait until it is idle."""
    for service in (identity, shop):
        service.faults.clear()
        service.reset()
    _seed_once(SandboxSystems(identity.url, "identity-token", shop.url, "shop-token", SIGNING_SECRET))
    hub = Hub(identity, shop, Client(raise_request_exception=False))
    yield hub
    for service in (identity, shop):
        service.faults.clear()
    hub.wait_until_idle()
    hub.wait_until_quiet()  # a thread that has settled goes on for a moment: the database must be there for it


def _seed_once(systems: SandboxSystems) -> None:
    """Configure the hub for these systems: with `seed_configuration` the first time, later by copying the rows that it wrote."""
    key = systems, str(settings.SEALING_KEYS)
    if _filled_tables():
        _seed(systems)
    elif key in _seeded:
        _write_rows(_seeded[key])
    else:
        _seed(systems)
        _seeded[key] = {table: _read_rows(table) for table in _filled_tables()}


def _seed(systems: SandboxSystems) -> None:
    """Configure the hub. A retry is due half a minute later, not a second, which a slow test may take."""
    seed_configuration(systems)
    Route.objects.update(retry_base_seconds=60.0)


def _read_rows(table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY id")
        return [column[0] for column in cursor.description], cursor.fetchall()


def _write_rows(tables: Rows) -> None:
    """Write these rows in any order of tables: foreign keys are checked at the commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table, (columns, rows) in tables.items():
            places = ", ".join(["%s"] * len(columns))
            names = ", ".join(columns)
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
        if connection.vendor == "postgresql":
            sequences = [f"setval('{table}_id_seq', {rows[-1][0]})" for table, (_, rows) in tables.items()]
            cursor.execute(f"SELECT {', '.join(sequences)}")


def wipe_database() -> None:
    """Empty every table that migrations do not fill, including the audit log, which only a test may do."""
    forget_quotas()
    filled = _filled_tables()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _wipe_postgresql(cursor, filled, _tables())
        else:
            _wipe_sqlite(cursor, filled)


@functools.cache
def _tables() -> list[str]:
    """Return all tables but those that migrations filled, in order of their names."""
    return sorted(set(connection.introspection.table_names()) - FILLED_BY_MIGRATIONS)


def _filled_tables() -> dict[str, int]:
    """Return the tables that are not empty, with how many rows they hold, at most 500."""
    with connection.cursor() as cursor:
        cursor.execute(_counts())
        return {str(table): int(rows) for table, rows in cursor.fetchall() if rows}


@functools.cache
def _counts() -> str:
    counted = "SELECT '{0}', (SELECT count(*) FROM (SELECT 1 FROM {0} LIMIT 500) x)"
    return " UNION ALL ".join(counted.format(table) for table in _tables())


def _wipe_postgresql(cursor: Any, filled: dict[str, int], tables: list[str]) -> None:
    """Delete rows if there are few, which is faster, and truncate otherwise: many deleted rows would stay as dead rows."""
    emptied = [f"DELETE FROM {table}" for table in filled]
    if any(rows >= 500 for rows in filled.values()):
        emptied = [f"TRUNCATE {', '.join(tables)}"]
    kept = ", ".join(f"'{table}_id_seq'" for table in FILLED_BY_MIGRATIONS)
    begun = (
        f"SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences"
        f" WHERE last_value IS NOT NULL AND sequencename NOT IN ({kept})"
    )
    guards = ("SET session_replication_role = replica", "SET session_replication_role = origin")
    cursor.execute("; ".join([guards[0], *emptied, begun, guards[1]]))


def _wipe_sqlite(cursor: Any, filled: dict[str, int]) -> None:
    cursor.execute("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'")
    triggers = [(name, sql) for name, sql, table in cursor.fetchall() if table in filled]
    unguarded = [f"DROP TRIGGER {name}" for name, _ in triggers]
    emptied = [f"DELETE FROM {table}" for table in [*filled, "sqlite_sequence"]]
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.execute("BEGIN IMMEDIATE")
    try:
        for statement in unguarded + emptied + [sql for _, sql in triggers]:
            cursor.execute(statement)
    except BaseException:
        # Otherwise every later test of this process fails too.
        cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")
    cursor.execute("PRAGMA foreign_keys = ON")
