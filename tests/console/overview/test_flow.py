"""From the webhook to the overview: real failures are counted, owned, replayed, and disappear."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from sync.execution.executor import run_due_deliveries
from sync.models import CallCount, EventCount, FailureGroup, FailureGroupState, RefusalCount
from sync.models.counts import start_of_hour
from sync.operations.failure_groups import refresh_failure_groups
from sync.replays.requests import request_replay
from sync.statistics.event_counts import count_events
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import logged_in
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event


def recount(hub: Hub, minutes: int = 0) -> None:
    hub.wait_until_quiet()
    last = Event.objects.latest("pk").received_at + timedelta(minutes=minutes, seconds=1)
    recount_stale_hours(last, seconds=60.0)
    refresh_failure_groups(last)


@pytest.mark.submission
def test_a_failure_is_counted_until_its_replay_succeeds(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    assert hub.post(EXAMPLE).status_code == 422
    assert hub.client.post("/webhooks/aurora", EXAMPLE, content_type="application/json").status_code == 401
    recount(hub)
    group = FailureGroup.objects.get()
    assert (group.code, group.number, group.state) == ("target-rejected", 1, "open")
    assert dict(EventCount.objects.values_list("state", "number")) == {"dead": 1}
    assert RefusalCount.objects.get().number == 1
    assert all(count.number >= sum(count.durations) > 0 for count in CallCount.objects.all())
    support = logged_in("support")
    page = support.get("/admin/").content.decode()
    assert '<strong class="bad">1</strong>' in page
    assert "1 bad signature today" in page
    assert f"/admin/sync/failuregroup/{group.pk}/change/" in page

    support.post(
        f"/admin/sync/failuregroup/{group.pk}/decide/", {"decision": "resolved", "reason": "renamed"}
    )
    hub.change_email("anna.free@example.com")
    event = Event.objects.get()
    anna = type(group)._meta.get_field("owner").related_model.objects.latest("pk")
    request_replay([event], by=anna, reason="renamed")
    run_due_deliveries()
    recount(hub, minutes=1)
    group.refresh_from_db()
    assert (group.number, group.state) == (0, FailureGroupState.RESOLVED)
    assert dict(EventCount.objects.values_list("state", "number")) == {"succeeded": 1}
    assert "No open failures." in support.get("/admin/").content.decode()


def test_an_hour_is_found_by_indexes(hub: Hub) -> None:
    assert hub.post(json.dumps(json.loads(EXAMPLE) | {"respond": "ack"}).encode()).status_code == 202
    hub.wait_until_idle()
    at = Event.objects.get().received_at
    recount_stale_hours(at)
    with recorded_statements() as seen:
        count_events(start_of_hour(at))
        recount_stale_hours(at + timedelta(minutes=2))
    unindexed = find_unindexed_statements(connection, seen)
    big = ("webhooks_event", "sync_delivery", "sync_call", "webhooks_refusal", "eventcount", "callcount")
    wrong = {
        sql
        for sql, lines in unindexed.items()
        if any(f'FROM "{table}' in sql for table in big)
        and "LIMIT 1" not in sql
        and not any("delivery_dead" in line for line in lines)  # whole, it is as large as what is dead
    }
    assert wrong == set()
