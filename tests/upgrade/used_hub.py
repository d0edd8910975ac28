"""An upgraded hub in use: its pages, its open deliveries, an export, and what its database has."""

import re
import time
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from exports.jobs.lifecycle import make_export_in_process
from integration_hub.schema_version import LABEL, check_schema
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.execution.executor import run_due_deliveries
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import OPEN_STATES, Connection, Delivery, Route
from sync.search.event_filter import resolve_filter
from sync.worker.schedule import PERIODIC
from tests.console.route_table import VISITORS, address_of, read_table
from tests.support.builders.compared_pairs import a_comparison, a_difference
from tests.support.connections import change_connection
from tests.support.hub import SIGNING_SECRET, wait_until_quiet
from webhooks.models import Event

_TRIGGERS = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace",
}


def list_events() -> dict[str, int]:
    """Return how many events have each state."""
    states = list(Event.objects.values_list("state", flat=True))
    return {state: states.count(state) for state in sorted(set(states))}


def list_empty_tables() -> list[str]:
    """Return the tables without rows."""
    with connection.cursor() as cursor:
        tables = sorted(connection.introspection.table_names(cursor))
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}' WHERE NOT EXISTS (SELECT 1 FROM {table})" for table in tables
            )
        )
        return sorted(table for (table,) in cursor.fetchall())


def open_pages() -> dict[str, dict[str, int]]:
    """Open every page of the console as a superuser: those about a row for the oldest and the newest one; on PostgreSQL,
    where time matters less, of events for one of each state too. Returns the answers by route and address.
    """
    _add_rows_of_later_releases()
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(username="root"))
    place, opened = VISITORS.index("superuser"), dict[str, dict[str, int]]()
    for (route, method), cells in read_table().items():
        if method == "GET" and route.startswith("admin/") and cells[place] == "200":
            addresses = {address_of(route, row) for row in _rows_of(route)}
            opened[route] = {address: client.get(address).status_code for address in sorted(addresses)}
    return opened


def _add_rows_of_later_releases() -> None:
    """Create rows in the tables that the stored release did not have, for the pages about them."""
    route = Route.objects.order_by("pk")[0]
    # Pages below a comparison name its route and a difference by their keys.
    a_difference(a_comparison(route, pk=route.pk), pk=route.pk)


def _rows_of(route: str) -> list[dict[str, Any]]:
    """Return the rows for which a route is opened, as `address_of` takes them."""
    named = re.match(r"admin/(\w+)/(\w+)/", route)
    if named is None or "<" not in route:
        return [{}]
    try:
        model = apps.get_model(*named.groups())
    except LookupError:
        return [{}]
    rows = model._default_manager.order_by("pk")
    keys = {rows.values_list("pk", flat=True).first(), rows.values_list("pk", flat=True).last()}
    if model is Event and connection.vendor == "postgresql":
        keys |= {rows.filter(state=state).values_list("pk", flat=True).last() for state in list_events()}
    return [{"_".join(named.groups()): rows.get(pk=key)} for key in sorted(filter(None, keys))]


def finish_open_deliveries(systems: Path) -> dict[str, Any]:
    """Run what a worker runs, against stand-ins with the records that these systems had. Returns the outcomes by entity."""
    before = list(Delivery.objects.filter(state__in=OPEN_STATES).order_by("pk"))
    with IdentityService(secret=SIGNING_SECRET, data=systems) as identity, ShopService(data=systems) as shop:
        for row in Connection.objects.all():
            # The credentials that the release stored, entered again for the new address.
            change_connection(row, base_url=identity.url if row.side == "identity" else shop.url)
        _work_until_settled()
        ended = {row.pk: row for row in Delivery.objects.filter(pk__in=[row.pk for row in before])}
        emails = {row["external_id"]: row["email"] for row in shop.list_records("customers")}
    return {
        "ended": [[row.entity_id, row.state, ended[row.pk].state] for row in before],
        "emails": emails,
    }


def _work_until_settled(seconds: float = 60.0) -> None:
    """Do what a worker does until nothing waits but what a person has to decide, for at most so long."""
    until = time.monotonic() + seconds
    waiting = Delivery.objects.filter(state__in=("pending", "retrying", "running"))
    while waiting.exists() and time.monotonic() < until:
        for work in PERIODIC:
            work.run()
        waiting.exclude(state="running").update(due_at="2020-01-01T00:00:00Z")
        run_due_deliveries()
        wait_until_quiet()


def export_events(folder: Path) -> Path:
    """Make an export of all events with its proof. Returns the archive."""
    seal_audit()
    export = make_export_in_process(resolve_filter({}, timezone.now()), reason="the yearly audit")
    assert export.state == "done", export.failure
    return export.archive


def describe_schema() -> dict[str, Any]:
    """Return what the database has, whatever migrations made it: columns, constraints, indexes and triggers by table."""
    described: dict[str, Any] = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            columns = connection.introspection.get_table_description(cursor, table)
            constraints = connection.introspection.get_constraints(cursor, table)
            described[table] = {
                "columns": sorted([column.name, str(column.type_code), column.null_ok] for column in columns),
                "constraints": sorted(_describe_constraint(name, rule) for name, rule in constraints.items()),
            }
        cursor.execute(_TRIGGERS[connection.vendor])
        described["triggers"] = sorted(map(list, cursor.fetchall()))
    return described


def _describe_constraint(name: str, rule: dict[str, Any]) -> list[str]:
    kinds = [kind for kind in ("primary_key", "unique", "index", "check") if rule.get(kind)]
    # SQLite and PostgreSQL choose the names of keys.
    shown = name if rule.get("check") or (rule.get("index") and not rule.get("foreign_key")) else ""
    return [
        shown,
        " ".join(kinds),
        " ".join(filter(None, rule["columns"] or ())),
        str(rule.get("foreign_key")),
    ]


def describe_refusal_of_newer() -> str:
    """Return the sentence with which this version refuses the database after a newer one has upgraded it."""
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app=LABEL, name__startswith="release ").update(name="release 99.0.0")
    recorder.record_applied(LABEL, "sync.9999_later of-a-later-release")
    recorder.record_applied("sync", "9999_later")
    try:
        call_command("migrate", verbosity=0)
    except CommandError as refusal:
        return str(refusal)
    check_schema()
    return ""
