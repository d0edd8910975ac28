"""A hub that is joined to the stand-in services, and its database, empty again afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test import Client

from integration_hub.console.seeding import Systems, seed
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
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


def wipe() -> None:
    """Empty every table but those that migrations filled; audit entries too, which only a test may do."""
    forget_shares()
    tables = sorted(set(connection.introspection.table_names()) - KEPT)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
            cursor.execute("SET session_replication_role = origin")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        cursor.execute("PRAGMA foreign_keys = OFF")
        unguarded = [f"DROP TRIGGER {name}" for name, _ in triggers]
        emptied = [f"DELETE FROM {table}" for table in [*tables, "sqlite_sequence"]]
        for statement in unguarded + emptied + [sql for _, sql in triggers]:
            cursor.execute(statement)
        cursor.execute("PRAGMA foreign_keys = ON")
