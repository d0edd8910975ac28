"""The overview: right figures from counts, for each role its own, with a constant number of statements."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.overview.figures import CHARTED_HOURS, load_figures
from console.templatetags.console_charts import day_labels, recent_hour
from console.ui.charts import HourCounts, build_hour_chart
from sync.models import (
    Alarm,
    CatchUp,
    Connection,
    CountedHour,
    EventCount,
    FailureGroup,
    FailureGroupState,
    Route,
)
from sync.operations.pauses import pause_flow
from tests.support.builders.history import a_route, a_source, an_event, logged_in
from tests.support.builders.overviews import (
    a_failed_delivery,
    a_failure_group,
    count_events,
    count_refusals,
    count_requests,
    now_hour,
)
from tests.support.database.query_plans import find_full_scans, recorded_statements
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/"
ROLES = ("support", "auditor", "administrator")


@pytest.fixture
def hub() -> Route:
    """Create a route and one event of now."""
    source = a_source()
    an_event(received_at=timezone.now(), source=source)
    count_events(0, number=1)
    return a_route(source)


def shown(*roles: str) -> str:
    answer = logged_in(*(roles or ("support",))).get(PAGE)
    assert answer.status_code == 200
    return text_of(answer)


def test_the_figures_cover_the_last_day_and_are_compared_with_the_day_before(hub: Route) -> None:
    count_events(3, number=90)
    count_events(5, "unchanged", 8)
    count_events(6, "dead", 2)
    count_events(7, "ignored", 9)
    count_events(23, "retrying", 4)
    count_events(24, "dead", 3)
    count_events(47, number=97)
    count_events(48, number=1000)
    CountedHour.objects.filter(begins_at=now_hour() - timedelta(hours=23)).update(open=4)
    figures = load_figures(timezone.now())
    assert figures.today.received == 1 + 90 + 8 + 2 + 9 + 4
    assert figures.today.failed == 2
    assert figures.yesterday.received == 100
    assert figures.yesterday.failed == 3
    assert figures.today.succeeded_percent == "98.01", "99 of 101 that ended"
    assert (figures.in_flight.number, figures.in_flight.retrying) == (4, 4)
    assert figures.in_flight.since == now_hour() - timedelta(hours=23)
    assert figures.change_percent is not None
    assert figures.change_percent > 0


def test_the_page_shows_the_counts(hub: Route) -> None:
    count_events(3, number=1233)
    count_events(4, "dead", 7)
    page = shown()
    assert '<strong class="bad">7</strong>' in page
    assert "<strong>99.43<small>" in page
    since = (now_hour() - timedelta(hours=23)).isoformat().replace("+00:00", "")
    assert f"?state=dead&amp;received_from={since}" in page
    assert "1,233 received, 0 failed, 0 in flight" in page
    assert page.count("<title>") == CHARTED_HOURS + 1
    count_events(95, "dead", 41)
    count_events(5, "dead", 6)
    page = shown()
    assert "41 received, 41 failed, 0 in flight" in page, "the oldest hour"
    assert '<strong class="bad">98.95<small>' in page, "under its target"


def test_each_bar_and_its_line_in_the_table_lead_to_the_events_of_their_hour(hub: Route) -> None:
    count_events(0, "retrying", 1_003)
    count_events(0, "dead", 4)
    page = shown()
    begin, end = (
        f"{at:%Y-%m-%dT%H}%3A00%3A00.000000Z" for at in (now_hour(), now_hour() + timedelta(hours=1))
    )
    address = f"/admin/webhooks/event/?received_from={begin}&amp;received_to={end}"
    assert page.count(f'href="{address}"') == 2, "the one of the bar is no stop for the keyboard"
    assert page.count('tabindex="-1"') >= CHARTED_HOURS
    rows = re.findall(r'<tr><th scope="row"><a href="[^"]+">[^<]+</a></th>(.+?)</tr>', page)
    assert len(rows) == CHARTED_HOURS
    assert re.findall(r"[\d,]+(?=</td>)", rows[0]) == ["1,008", "1", "1,003", "4"], "the newest hour is first"
    listed = logged_in("support").get(address.replace("&amp;", "&")).context["page"]
    assert [row.event.entity_id for row in listed.rows] == ["USR-0"]


@pytest.mark.submission
def test_failures_are_listed_worst_first_with_the_next_step(hub: Route) -> None:
    a_failure_group("target-unavailable", 740)
    a_failure_group("target-rejected", 12)
    a_failure_group("unmappable", 5000).__class__.objects.filter(code="unmappable").update(
        state=FailureGroupState.IGNORED
    )
    page = shown()
    assert page.index("740") < page.index("Review")
    assert "/admin/webhooks/event/replay/new/?state=dead&amp;code=target-unavailable&amp;target=shop" in page
    assert page.count('<th scope="row" class="name">') == 2, "the third is ignored by a decision"


@pytest.mark.submission
def test_ignored_failures_still_count_as_failed(hub: Route) -> None:
    link = "/admin/sync/failuregroup/?shown=ignored"
    assert link not in shown()
    a_failure_group("unmappable", 5000)
    FailureGroup.objects.update(state=FailureGroupState.IGNORED)
    page = shown()
    assert "5,000 more" in page
    assert link in page
    assert "No open failures." not in page


@pytest.mark.submission
def test_a_slow_connection_is_shown_with_its_start(hub: Route) -> None:
    for ago in range(3):
        count_requests(hub.target, ago, 4.1)
    count_requests(hub.target, 3, 0.2)
    page = shown()
    since = timezone.localtime(now_hour() - timedelta(hours=2))
    assert f"The shop has been slow since {since:%H:%M}." in page
    assert "(normally 200 ms)" in page
    assert f"/admin/sync/connection/{hub.target_id}/change/" in page


@pytest.mark.submission
def test_a_manual_pause_is_shown_with_person_and_reason(hub: Route) -> None:
    by = User.objects.create(username="berit")
    pause_flow(hub, "the shop moves", by)
    pause_flow(a_source("borealis"), "it floods us", by)
    page = shown()
    assert "Aurora: USER → The shop is paused." in page
    assert "Paused by berit: the shop moves." in page
    assert f"/admin/sync/route/{hub.pk}/change/" in page
    assert "Borealis is paused." in page


@pytest.mark.submission
def test_an_open_alarm_is_shown_and_a_snoozed_one_is_not(hub: Route) -> None:
    now = timezone.now()
    alarm = Alarm.objects.create(
        kind="source-silent",
        name="Borealis",
        subject="source:99",
        began_at=now,
        raised_at=now,
        limit_seconds=300,
    )
    assert "Borealis is silent" in shown()
    alarm.snoozed_until = timezone.now() + timedelta(hours=1)
    alarm.save()
    assert "Borealis is silent" not in shown()


@pytest.mark.submission
def test_outdated_figures_are_marked(hub: Route) -> None:
    assert "These figures are out of date:" not in shown()
    CountedHour.objects.update(counted_at=timezone.now() - timedelta(minutes=3))
    assert "These figures are out of date:" in shown()


def test_silent_sources_and_wrong_signatures_are_shown(hub: Route) -> None:
    a_source("borealis", silence_minutes=5)
    hub.source.__class__.objects.filter(slug="borealis").update(
        created_at=timezone.now() - timedelta(minutes=9)
    )
    count_refusals(3)
    count_refusals(4, "too-large")
    page = shown()
    assert "1 of 2 sending" in page
    assert "Borealis is silent" in page
    assert "3 bad signatures today" in page


@pytest.mark.submission
def test_an_empty_hub_shows_the_first_steps() -> None:
    assert "Connect…" in shown("administrator")
    assert "Connect…" not in shown("support"), "who may not do it is shown no button"
    a_route(a_source())
    assert "Connect…" not in shown("administrator")


def test_a_person_without_a_role_gets_a_message_and_costs_no_statement(hub: Route) -> None:
    a_failure_group("target-unavailable", 740)
    count_requests(hub.target, 0, 4.1)
    client = logged_in()
    with CaptureQueriesContext(connection) as seen:
        page = client.get(PAGE).content.decode()
    assert "You have no role yet." in page
    assert "target-unavailable" not in page
    assert not [query for query in seen if "count" in query["sql"].split("FROM")[-1][:30]]


@pytest.mark.submission
def test_the_number_of_statements_is_constant_and_no_event_is_read(hub: Route) -> None:
    a_failure_group("target-rejected", 1)
    CountedHour.objects.update(open=1)
    client = logged_in("administrator")
    client.get(PAGE)

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(PAGE).status_code == 200
        return [query["sql"] for query in seen]

    few = statements()
    _create_many_rows()
    many = statements()
    assert len(many) == len(few) <= 30, "\n".join(many)
    events = [sql for sql in many if 'FROM "webhooks_event"' in sql and "webhooks_source" not in sql]
    assert len(events) == 1, "whether there is one at all"
    assert 'FROM "sync_delivery"' not in " ".join(many)


@pytest.mark.submission
def test_no_statement_of_it_reads_a_whole_table_of_counts_or_events(hub: Route) -> None:
    _create_many_rows()
    client = logged_in("administrator")
    with recorded_statements() as seen:
        client.get(PAGE)
    if connection.vendor == "postgresql":
        connection.cursor().execute("SET LOCAL enable_seqscan = off")
    tables = ("eventcount", "failurecount", "callcount", "refusalcount", "webhooks_event", "sync_delivery")
    found = find_full_scans(connection, seen)
    # The badges read all failure groups, and an index of active alarms; of deliveries, that of held ones.
    badges = {
        sql: plan for sql, plan in found.items() if '"sync_failuregroup"' in sql and '"sync_alarm"' in sql
    }
    assert all("SCAN sync_delivery" not in step for plan in badges.values() for step in plan)
    unindexed = {sql for sql in found.keys() - badges if any(table in sql for table in tables)}
    assert unindexed == {'SELECT %s AS "a" FROM "webhooks_event" LIMIT 1'}, "one row, whichever"


def _create_many_rows() -> None:
    for number in range(8):
        other = Connection.objects.create(
            slug=f"crm{number}", name=f"CRM {number}", side="target", connector="rest-target"
        )
        a_source(f"source{number}", silence_minutes=1)
        a_failure_group("target-timeout", number + 1, connection=other)
        for ago in range(24):
            count_requests(other, ago, 3.0)
    for ago in range(96):
        for state in ("dead", "retrying", "succeeded"):
            count_events(ago, state, 5) if not _is_counted(ago, state) else None
    for number in range(20):
        a_failed_delivery(number + 1)


def _is_counted(ago: int, state: str) -> Any:
    return EventCount.objects.filter(hour=now_hour() - timedelta(hours=ago), state=state).exists()


@pytest.mark.parametrize(
    ("first", "hours", "names"),
    [
        (16, 48, [("0.00", "0.00", "start"), ("16.67", "41.67", "middle"), ("66.67", "83.33", "middle")]),
        (0, 32, [("0.00", "37.50", "middle"), ("75.00", "100.00", "end")]),
    ],
)
def test_no_label_of_a_day_is_cut_at_the_edge(
    first: int, hours: int, names: list[tuple[str, str, str]]
) -> None:
    midnight = timezone.localtime(timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    chart = build_hour_chart(
        [HourCounts(midnight + timedelta(hours=first + hour), 1, 0, 0) for hour in range(hours)]
    )
    assert [(day.boundary_x, day.label_x, day.anchor) for day in day_labels(chart, hours)] == names
    assert len(day_labels(chart, 20)) <= 2, "of its last hours only"


@pytest.mark.submission
def test_the_oldest_open_event_is_shown_by_its_hour(hub: Route) -> None:
    count_events(5, "retrying", 4)
    begins = now_hour() - timedelta(hours=5)
    CountedHour.objects.filter(begins_at=begins).update(open=4)
    first, end = recent_hour(begins, timezone.now()), timezone.localtime(begins + timedelta(hours=1))
    assert f"oldest from {first}–{end:%H:%M}" in shown()


def test_catch_ups_are_shown_with_their_next_run_and_failure_by_one_statement(hub: Route) -> None:
    """Holds that a hub without a catch-up pays nothing for them."""
    client = logged_in("administrator")

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(PAGE).status_code == 200
        return [query["sql"] for query in seen]

    client.get(PAGE)
    without = statements()
    assert "sync_catchup" not in " ".join(without)
    now = timezone.now()
    Connection.objects.filter(pk=hub.identity_id).update(catch_up_minutes=60)
    for kind in ("GROUP", "USER"):
        CatchUp.objects.create(
            identity=hub.identity, entity_type=kind, created_at=now, read_at=now, began_at=now
        )
    CatchUp.objects.filter(entity_type="USER").update(
        failing_since=now - timedelta(hours=2), failure="identity-unavailable"
    )
    assert len(statements()) == len(without) + 1
    page = shown("administrator").partition('id="catch-ups"')[2]
    failing, working = page.index("Aurora ID: USER"), page.index("Aurora ID: GROUP")
    assert "Aurora ID is unavailable" in page[failing:working]
    assert "Next run: " in page[failing:working]
    assert "Failing since" not in page[working:]
