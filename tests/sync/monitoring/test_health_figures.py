"""The figures that alarms are based on: correct, and cheap for any amount of stored data."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import Delivery
from sync.monitoring.alarms import evaluate_alarms
from sync.monitoring.health_figures import measure_health, read_source_activity
from tests.support.builders.alarms import a_late_delivery, a_watched_source, minutes
from tests.support.builders.history import NOON, a_source, an_event

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def test_an_evaluation_costs_the_same_for_one_source_and_for_thirty() -> None:
    a_watched_source("Source-0")
    with CaptureQueriesContext(connection) as one:
        evaluate_alarms(NOON)
    for number in range(1, 30):
        a_watched_source(f"Source-{number}")
    with CaptureQueriesContext(connection) as thirty:
        evaluate_alarms(NOON)
    assert len(thirty) == len(one) <= 24


def test_an_expired_lease_is_counted_until_it_is_released() -> None:
    a_late_delivery(NOON)
    running = {"state": "running", "token": "0" * 32, "lease_until": NOON}
    Delivery.objects.update(**running)
    assert (measure_health(NOON - SECOND).expired, measure_health(NOON).expired) == (0, 1)


def test_a_relayed_delivery_is_late_behind_a_held_one_and_not_behind_a_waiting_one() -> None:
    first = a_late_delivery(NOON + minutes(60), "retrying", is_relayed=True)
    a_late_delivery(NOON - minutes(60), is_relayed=True)
    assert measure_health(NOON).oldest_due_at is None
    Delivery.objects.filter(pk=first.pk).update(state="held", due_at=None)
    assert measure_health(NOON).oldest_due_at == NOON - minutes(60)


def test_an_event_that_the_hub_made_ends_no_silence() -> None:
    source = a_source()
    an_event(source=source, received_at=NOON - minutes(3))
    an_event(source=source, received_at=NOON, origin="comparison", is_signed=False)
    (activity,) = read_source_activity()
    assert activity.silent_since == NOON - minutes(3)


@pytest.mark.parametrize(
    "value", ["CAST(x'ff' AS TEXT)", "'moonday'"] if connection.vendor == "sqlite" else ["'infinity'"]
)
def test_the_silence_of_a_source_starts_at_its_newest_event_with_a_readable_time(value: str) -> None:
    source = a_source()
    events = [an_event(source=source, received_at=NOON - minutes(number)) for number in (3, 2, 1)]
    (activity,) = read_source_activity()
    assert activity.silent_since == NOON - minutes(1)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE webhooks_event SET received_at = {value} WHERE id = %s", [events[-1].pk])
    (activity,) = read_source_activity()
    assert activity.silent_since == NOON - minutes(2)
    assert activity.has_sent
    assert measure_health(NOON).sources == (activity,)
