"""The figures that alarms are judged by: right, and cheap however much is stored."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from database.clock import read_clock
from sync.models import Alarm, Delivery
from sync.monitoring.alarms import evaluate_alarms
from sync.monitoring.health_figures import measure_health
from tests.support.builders.alarms import late_delivery, minutes, watched
from tests.support.builders.history import NOON

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def test_a_look_costs_the_same_for_one_source_and_for_thirty() -> None:
    watched("Source-0")
    with CaptureQueriesContext(connection) as one:
        evaluate_alarms(NOON)
    for number in range(1, 30):
        watched(f"Source-{number}")
    with CaptureQueriesContext(connection) as thirty:
        evaluate_alarms(NOON)
    assert len(thirty) == len(one) <= 17


def test_no_figure_walks_through_events_or_deliveries() -> None:
    watched()
    with CaptureQueriesContext(connection) as captured:
        measure_health(NOON)
    walks = ("SCAN webhooks_event", "SCAN sync_delivery", "Seq Scan on webhooks_ev", "Seq Scan on sync_deliv")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        for statement in captured.captured_queries:
            cursor.execute(f"{explain} {statement['sql']}")
            plan = " | ".join(str(row) for row in cursor.fetchall())
            assert not [walk for walk in walks if walk in plan], plan


def test_a_lease_that_ended_is_counted_until_it_is_freed() -> None:
    late_delivery(NOON)
    running = {"state": "running", "token": "0" * 32, "lease_until": NOON}
    Delivery.objects.update(**running)
    assert (measure_health(NOON - SECOND).expired, measure_health(NOON).expired) == (0, 1)


def test_what_is_relayed_is_late_behind_one_that_is_held_and_not_behind_one_that_waits() -> None:
    first = late_delivery(NOON + minutes(60), "retrying", is_relayed=True)
    late_delivery(NOON - minutes(60), is_relayed=True)
    assert measure_health(NOON).oldest_due_at is None
    Delivery.objects.filter(pk=first.pk).update(state="held", due_at=None)
    assert measure_health(NOON).oldest_due_at == NOON - minutes(60)


def test_without_a_moment_the_clock_of_the_database_counts() -> None:
    heard_at = read_clock() - minutes(31)
    watched(heard=heard_at)
    evaluate_alarms()
    alarm = Alarm.objects.get()
    assert timedelta(0) <= read_clock() - alarm.raised_at < minutes(1)
