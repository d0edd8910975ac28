"""What `/metrics` says of the database: each figure for a state of the hub, and its cost with a million events."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import inf

import pytest
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from database.clock import read_clock
from sync.metrics import declared
from sync.metrics.exposition import Samples
from sync.models import Connection, CountedHour, Delivery, EventCount
from sync.models.counts import start_of_hour
from sync.monitoring.metric_figures import figure_reader
from sync.statistics.hour_recount import recount_hour
from sync.statistics.periodic_recount import delete_counts_before, recount_stale_hours
from tests.support.builders.alarms import a_late_delivery, a_paused_connection, minutes
from tests.support.builders.history import a_route, an_event
from webhooks.models import Event, Source

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_read() -> Iterator[None]:
    figure_reader.forget()
    yield
    figure_reader.forget()


def figures() -> Samples:
    figure_reader.forget()
    return figure_reader.read()


def figure(samples: Samples, metric: declared.MetricDeclaration, *labels: str) -> float:
    return dict(samples[metric])[labels]


def test_deliveries_are_counted_by_state_and_a_scrape_follows_each_recount() -> None:
    """A later scrape reads only hours that were counted again: a changed one, an emptied one, one that retention deleted."""
    now = read_clock()
    for number, state in enumerate(("dead", "dead", "held", "succeeded")):
        an_event(number, state=state, received_at=now - timedelta(hours=2 * number))
    recount_stale_hours()
    assert _states() == {"dead": 2, "held": 1, "succeeded": 1}
    Event.objects.filter(state="dead", received_at__lt=now - timedelta(hours=1)).update(state="succeeded")
    Event.objects.filter(state="held").delete()
    for hour in CountedHour.objects.values_list("pk", flat=True):
        recount_hour(hour, read_clock())
    assert _states() == {"dead": 1, "succeeded": 2}
    delete_counts_before(start_of_hour(now - timedelta(hours=5)))
    assert _states() == {"dead": 1, "succeeded": 1}


def _states() -> dict[str, float]:
    """Return the deliveries by state of a scrape that remembers the earlier ones; no zeros."""
    figure_reader.read.invalidate()
    return {state: number for (state,), number in figure_reader.read()[declared.DELIVERIES] if number}


def test_a_hub_without_anything_shows_zeros_and_ages_without_an_end() -> None:
    samples = figures()
    for metric in (declared.DUE, declared.OLDEST_DUE, declared.EXPIRED_LEASES, declared.OLDEST_JOB):
        assert figure(samples, metric) == 0, metric.name
    assert figure(samples, declared.WORKER_SEEN) == figure(samples, declared.VERIFIED_AGE) == inf
    assert {number for _, number in samples[declared.DELIVERIES]} == {0}
    assert figure(samples, declared.ALARMS, "deliveries-late") == 0
    assert figure(samples, declared.DATABASE_BYTES) > 100_000
    assert set(samples) == set(declared.DATABASE_METRICS)


def test_connections_count_by_state_and_a_backlog_of_a_failing_one_is_not_late() -> None:
    now = read_clock()
    a_late_delivery(now - minutes(3))
    assert 180 <= figure(figures(), declared.OLDEST_DUE) < 200
    a_paused_connection(now - minutes(6), now + minutes(1), slug="failing", name="Failing")
    Delivery.objects.update(target=Connection.objects.get(slug="failing"))
    Connection.objects.create(
        slug="off", name="Off", side="target", connector="rest-target", is_enabled=False
    )
    Connection.objects.create(
        slug="by-hand", name="By hand", side="target", connector="rest-target", paused_at=now
    )
    samples = figures()
    assert dict(samples[declared.CONNECTIONS]) == {
        ("enabled",): 2, ("failing",): 1, ("paused",): 1, ("disabled",): 1,
    }  # fmt: skip
    [((slug,), seconds)] = samples[declared.FAILING]
    assert slug == "failing"
    assert 360 <= seconds < 380
    assert (figure(samples, declared.OLDEST_DUE), figure(samples, declared.DUE)) == (0, 1)


@pytest.mark.parametrize("reason", ["observes", "is paused"])
def test_many_deliveries_of_one_route_hide_no_late_one_of_another(reason: str) -> None:
    """More than the figure reads, and due for longer."""
    now = read_clock()
    live = a_late_delivery(now - minutes(3))
    paused = a_paused_connection(now - minutes(9), now + minutes(1), slug="paused", name="Paused")
    values = {"mode": "observe"} if reason == "observes" else {"target": paused}
    route = a_route(live.event.source, entity_type="GROUP", **values)
    _copy_delivery(
        live, 10_002, route_id=route.pk, target_id=route.target_id, due_at=_moment(now - minutes(9))
    )
    assert 180 <= figure(figures(), declared.OLDEST_DUE) < 200


def test_the_age_of_the_newest_backup_is_missing_until_one_was_made() -> None:
    assert figures()[declared.BACKUP_AGE] == []
    now = read_clock()
    with transaction.atomic():
        for hours in (30, 3, 50):
            append_entries(NewEntry("system", "database.backed-up"), at=now - timedelta(hours=hours))
        append_entries(NewEntry("system", "database.restored"), at=now)
    assert 3 * 3600 <= figure(figures(), declared.BACKUP_AGE) < 3 * 3600 + 60


@pytest.mark.nightly
def test_the_statement_takes_20_milliseconds_with_a_million_deliveries_and_a_paused_backlog() -> None:
    """400 days of counted hours; 60,000 deliveries wait for a paused connection, and nothing else is due."""
    now = read_clock()
    delivery = a_late_delivery(now - minutes(5))
    a_paused_connection(now, now + minutes(5), slug="paused", name="Paused")
    paused = Connection.objects.get(slug="paused")
    _copy_delivery(delivery, 940_000, state="'succeeded'", due_at="NULL")
    _copy_delivery(delivery, 60_000, state="'pending'", target_id=paused.pk, due_at=_moment(now))
    Delivery.objects.filter(pk=delivery.pk).update(state="succeeded", due_at=None)
    with connection.cursor() as cursor:
        source = Source.objects.first()
        states = ("succeeded", "unchanged", "superseded", "ignored", "dead")
        EventCount.objects.bulk_create(
            EventCount(hour=now - timedelta(hours=hour), source=source, entity_type=kind, event_type="updated", state=state, number=20)
            for hour in range(9_600) for kind in ("USER", "GROUP") for state in states
        )  # fmt: skip
        CountedHour.objects.bulk_create(
            CountedHour(
                begins_at=now - timedelta(hours=hour), counted_at=now - timedelta(hours=max(hour - 24, 0))
            )
            for hour in range(9_600)
        )
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE sync_countedhour")
            cursor.execute("ANALYZE sync_delivery")
            cursor.execute("ANALYZE sync_eventcount")
    took: list[float] = []
    for _ in range(7):
        # Of SQLite the CPU time, which another process cannot lengthen.
        clock = time.thread_time if connection.vendor == "sqlite" else time.perf_counter
        began = clock()
        figure_reader.read.invalidate()
        samples = figure_reader.read()
        took.append(clock() - began)
    assert figure(samples, declared.DELIVERIES, "succeeded") == 9_600 * 2 * 20
    assert (figure(samples, declared.DUE), figure(samples, declared.OLDEST_DUE)) == (10_001, 0)
    assert min(took) < 0.020


def _copy_delivery(delivery: Delivery, number: int, **values: object) -> None:
    """Insert copies of a delivery, each of another entity, with these expressions as values."""
    numbers = {
        "sqlite": "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {last}) SELECT n FROM n",
        "postgresql": "SELECT n FROM generate_series(1, {last}) n",
    }[connection.vendor].format(last=number)
    # No foreign key of the database refers to the event.
    changed = {"event_id": f"{number} * 10 + n", "entity_id": "CAST(n AS text)"} | values
    same = [column for column in _columns("sync_delivery") if column not in (*changed, "id")]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO sync_delivery ({', '.join([*changed, *same])}) "
            f"SELECT {', '.join([*map(str, changed.values()), *same])} "
            f"FROM ({numbers}) numbers, (SELECT * FROM sync_delivery WHERE id = {delivery.pk}) one"
        )


def _moment(at: datetime) -> str:
    text = f"'{at:%Y-%m-%d %H:%M:%S}'"
    return f"CAST({text} AS timestamptz)" if connection.vendor == "postgresql" else text


def _columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]
