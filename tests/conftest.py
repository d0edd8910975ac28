"""What every test may use: a database with real commits, and the two stand-in services over real HTTP."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import setup_databases, teardown_databases

from integration_hub.console.seeding import Systems, seed
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests import migrated
from tests.hub import SIGNING_SECRET, Hub
from webhooks.models.pace import forget_shares

KEPT = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
    "webhooks_pepper",
}


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any
) -> Iterator[None]:
    """The test database, made for tests that ask for `database` as well as for those that ask for `db`."""
    if connection.vendor == "sqlite":  # a power cut is for hubs in processes of their own, and they sync
        connection.settings_dict["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]
        migrated.keep(str(connection.settings_dict["NAME"]))
    yield
    with django_db_blocker.unblock():
        connections.close_all()
        teardown_databases(made, verbosity=0)


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Commits are real, threads see them, and everything is wiped afterwards."""
    with django_db_blocker.unblock():
        yield
        wipe()
        connections.close_all()


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


@pytest.fixture(scope="session")
def _services() -> Iterator[tuple[IdentityService, ShopService]]:
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


@pytest.fixture
def hub(database: None, _services: tuple[IdentityService, ShopService]) -> Iterator[Hub]:
    """The hub joined to the stand-in services, as `make run` joins them."""
    identity, shop = _services
    for service in (identity, shop):
        service.faults.clear()
        service.reset()
    seed(Systems(identity.url, "identity-token", shop.url, "shop-token", SIGNING_SECRET))
    hub = Hub(identity, shop, Client(raise_request_exception=False))
    yield hub
    for service in (identity, shop):
        service.faults.clear()
    hub.wait_until_idle()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI says that it has everything, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What touches no database runs in one half of the suite only."""
    for item in items:
        if (
            item.path.parent.name in ("webhooks", "sandbox", "connectors")
            and "database" not in item.fixturenames
        ):
            item.add_marker("pure")
