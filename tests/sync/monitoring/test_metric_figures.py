"""What `/metrics` says of the database: each figure for a state of the hub, and its cost with a million events."""

import time
from datetime import timedelta
from math import inf

import pytest
from django.db import connection

from audit.models import CheckpointChannel, Verification
from database.clock import read_clock
from sync.metrics import declared
from sync.metrics.exposition import Samples
from sync.models import Connection, CountedHour, EventCount
from sync.monitoring.metric_figures import figure_reader
from tests.support.builders.alarms import a_late_delivery, a_paused_connection, minutes
from webhooks.models import Source

pytestmark = pytest.mark.django_db


def figures() -> Samples:
    figure_reader.forget()
    return figure_reader.read()


def figure(samples: Samples, metric: declared.MetricDeclaration, *labels: str) -> float:
    return dict(samples[metric])[labels]


@pytest.mark.nightly
def test_the_statement_takes_20_milliseconds_with_a_million_deliveries_and_a_paused_backlog() -> None:
    """400 days of counted hours; 60,000 deliveries wait for a paused connection, and nothing else is due."""
    now = read_clock()
    delivery = a_late_delivery(now - minutes(5))
    a_paused_connection(now, now + minutes(5), slug="paused", name="Paused")
    paused = Connection.objects.get(slug="paused")
    numbers = {
        "sqlite": "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {last}) SELECT n FROM n",
        "postgresql": "SELECT n FROM generate_series(1, {last}) n",
    }[connection.vendor]
    columns = [column for column in _columns("sync_delivery") if column not in ("id", "event_id", "state", "target_id", "entity_id", "due_at")]
    with connection.cursor() as cursor:
        for last, state, target in ((940_000, "succeeded", delivery.target_id), (60_000, "pending", paused.pk)):
            due = f"'{now:%Y-%m-%d %H:%M:%S}'" if state == "pending" else "NULL"
            moment = f"CAST({due} AS timestamptz)" if connection.vendor == "postgresql" else due
            cursor.execute(
                f"INSERT INTO sync_delivery (event_id, state, target_id, entity_id, due_at, {', '.join(columns)}) "
                f"SELECT {last} * 10 + n, '{state}', {target}, CAST(n AS text), {moment}, {', '.join(columns)} "
                f"FROM ({numbers.format(last=last)}) numbers, (SELECT * FROM sync_delivery WHERE id = {delivery.pk}) one"
            )
        source = Source.objects.first()
        states = ("succeeded", "unchanged", "superseded", "ignored", "dead")
        EventCount.objects.bulk_create(
            EventCount(hour=now - timedelta(hours=hour), source=source, entity_type=kind, event_type="updated", state=state, number=20)
            for hour in range(9_600) for kind in ("USER", "GROUP") for state in states
        )  # fmt: skip
        CountedHour.objects.bulk_create(
            CountedHour(begins_at=now - timedelta(hours=hour), counted_at=now - timedelta(hours=max(hour - 200, 0)))
            for hour in range(9_600)
        )
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE sync_countedhour")
            cursor.execute("ANALYZE sync_delivery")
            cursor.execute("ANALYZE sync_eventcount")
    took = []
    for _ in range(7):
        began = time.thread_time() if connection.vendor == "sqlite" else time.perf_counter()
        figure_reader.read.invalidate()
        samples = figure_reader.read()
        took.append((time.thread_time() if connection.vendor == "sqlite" else time.perf_counter()) - began)
    from database.statement import Statement
    from sync.monitoring import metric_figures as mf
    since = figure_reader._counts.read_since
    for part in mf._FIGURES[connection.vendor].sql.split("UNION ALL")[1:]:
        statement = Statement(part)
        args = [since] * part.count("%s")
        times=[]
        for _ in range(5):
            began, b2 = time.perf_counter(), time.thread_time()
            statement.fetch_all(*args)
            times.append((time.perf_counter() - began if connection.vendor == "postgresql" else time.thread_time()-b2))
        print(round(min(times)*1000,2), part[:60])
    print([round(seconds * 1000, 1) for seconds in took])
    assert figure(samples, declared.DELIVERIES, "succeeded") == 9_600 * 2 * 20
    assert figure(samples, declared.DUE) == 10_001
    assert sorted(took)[3] < 0.020


def _columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]
