"""A hub that is joined to the stand-in services, and its database, empty again afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import Client

from integration_hub.devtools.sandbox_setup import Systems, seed
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET, Hub
from webhooks.models.rate_limit import forget_shares

KEPT = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
    "webhooks_pepper",
}


@contextmanager
def joined(identity: IdentityService, shop: ShopService) -> Iterator[Hub]:
    """The hub joined to the stand-in services, as `make run` joins them."""
    for service in (identity, shop):
        service.faults.clear()
        service.reset()
    seed(Systems(identity.url, "identity-token", shop.url, "shop-token", SIGNING_SECRET))
    hub = Hub(identity, shop, Client(raise_request_exception=False))
    yield hub
    for service in (identity, shop):
        service.faults.clear()
    hub.wait_until_idle()
    hub.wait_until_quiet()  # a thread that has settled goes on for a moment: the database must be there for it


def wipe() -> None:
    """Empty every table but those that migrations filled; audit entries too, which only a test may do."""
    forget_shares()
    tables = sorted(set(connection.introspection.table_names()) - KEPT)
    with connection.cursor() as cursor:
        looks = [
            f"SELECT '{each}', (SELECT count(*) FROM (SELECT 1 FROM {each} LIMIT 500) x)" for each in tables
        ]
        cursor.execute(" UNION ALL ".join(looks))
        filled = {str(table): int(rows) for table, rows in cursor.fetchall() if rows}
        if connection.vendor == "postgresql":
            _wipe_postgresql(cursor, filled, tables)
        else:
            _wipe_sqlite(cursor, filled)


def _wipe_postgresql(cursor: Any, filled: dict[str, int], tables: list[str]) -> None:
    """Few rows are deleted, which is quicker than to truncate; many would stay as dead rows."""
    emptied = [f"DELETE FROM {table}" for table in filled]
    if any(rows >= 500 for rows in filled.values()):
        emptied = [f"TRUNCATE {', '.join(tables)}"]
    kept = ", ".join(f"'{each}_id_seq'" for each in KEPT)
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
    for statement in unguarded + emptied + [sql for _, sql in triggers]:
        cursor.execute(statement)
    cursor.execute("COMMIT")
    cursor.execute("PRAGMA foreign_keys = ON")
