"""The counts of each hour are those of its rows, after any change and with any number of counting workers."""

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

import sync.statistics.hour_recount
from sync.deliveries.event_state import refresh_event_states
from sync.models import (
    CallCount,
    Connection,
    CountedHour,
    CountMark,
    EventCount,
    FailureCount,
    PruningRun,
    RefusalCount,
    RetentionCategory,
)
from sync.models.counts import HOUR, start_of_hour
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.replays.requests import request_replay
from sync.statistics.full_recount import count_remaining_hours, recount_all_hours
from sync.statistics.hour_recount import recount_hour
from sync.statistics.latency_histogram import BUCKET_COUNT, bucket_of
from sync.statistics.periodic_recount import recount_stale_hours as look_and_count
from sync.statistics.stale_hours import HourStatus, choose_stale_hours
from tests.support.builders.history import NOON, a_call, a_delivery, a_route, a_source, an_attempt, an_event
from webhooks.models import Event, Refusal

pytestmark = pytest.mark.usefixtures("database")


def test_each_row_is_counted_under_its_hour_its_system_and_its_kind() -> None:
    """Types that no route has, and unknown events, are counted together: they come from the senders."""
    shop = a_route(a_source())
    crm = a_route(
        a_source("borealis"),
        target=Connection.objects.create(slug="crm", side="target", connector="rest-target"),
    )
    an_event(0, source=shop.source, event_type="moved", entity_type="GROUP", state="ignored", code="ignored")
    an_event(
        1, source=shop.source, event_type="merged", entity_type="SOMETHING", state="ignored", code="ignored"
    )
    an_event(2, source=crm.source, received_at=NOON + HOUR)
    an_event(4, source=crm.source, received_at=NOON + HOUR, origin="comparison")
    for number, (route, code) in enumerate(
        (
            (shop, "target-rejected"),
            (crm, "target-rejected"),
            (shop, "identity-timeout"),
            (crm, "identity-timeout"),
        )
    ):
        event = an_event(
            3, source=route.source, event_type="CREATE", state="dead", code=code, received_at=NOON
        )
        attempt = an_attempt(a_delivery(event, route), 1, started_at=NOON + timedelta(minutes=number))
        a_call(attempt, seconds=None, status=None, error="target-timeout")
        a_call(attempt, seconds=80.0, error="target-rejected")
        for seconds in (0.0004, 0.03, 4.0):
            a_call(attempt, seconds=seconds, error="")
    a_call(attempt, started_at=NOON + HOUR, error="")
    count(NOON + HOUR + timedelta(minutes=1))
    before = start_of_hour(NOON - timedelta(seconds=1))
    events = EventCount.objects.values_list(
        "hour", "source__slug", "entity_type", "event_type", "state", "origin", "number"
    )
    assert set(events) == {
        (NOON, "aurora", "other", "other", "ignored", "webhook", 1),
        (before, "aurora", "other", "other", "ignored", "webhook", 1),
        (NOON, "aurora", "USER", "CREATE", "dead", "webhook", 2),
        (NOON, "borealis", "USER", "CREATE", "dead", "webhook", 2),
        (NOON + HOUR, "borealis", "USER", "UPDATE", "succeeded", "webhook", 1),
        (NOON + HOUR, "borealis", "USER", "UPDATE", "succeeded", "comparison", 1),
    }
    assert set(FailureCount.objects.values_list("hour", "connection__slug", "code", "number")) == {
        (NOON, "shop", "target-rejected", 1),
        (NOON, "crm", "target-rejected", 1),
        (NOON, "aurora-id", "identity-timeout", 2),
    }
    calls = CallCount.objects.get(hour=NOON, connection__slug="shop")
    assert (calls.number, calls.failed, calls.last_success_at) == (10, 2, NOON + timedelta(minutes=2))
    expected = [0] * BUCKET_COUNT
    for seconds in (0.0004, 0.03, 4.0, 80.0):
        expected[bucket_of(seconds)] += 2
    assert calls.durations == expected
    assert CallCount.objects.get(hour=NOON + HOUR).number == 1


@pytest.mark.submission
def test_an_old_hour_is_counted_again_after_a_decision_or_a_late_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sync.operations.held_deliveries.defer_to_workers", lambda _: None)
    route = a_route(a_source())
    held, failed = (
        an_event(number, state=state, received_at=NOON) for number, state in ((1, "held"), (2, "dead"))
    )
    for event in (held, failed):
        a_delivery(event, route)
    later = NOON + timedelta(hours=4)
    count(later)
    by = User.objects.create(username="anna")
    decide_held([held.deliveries.get().pk], HeldDecision.CLOSE, by=by, reason="so", key=uuid4())
    failed.deliveries.update(state="superseded")
    with transaction.atomic():
        refresh_event_states([failed.pk])
    assert CountMark.objects.exists()
    count(later + timedelta(minutes=1))
    assert _states(NOON) == {"closed": 1, "superseded": 1}
    assert not CountMark.objects.exists()


@pytest.mark.submission
def test_an_event_that_succeeds_by_replay_hours_later_moves_within_its_own_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    route = a_route(a_source())
    event = an_event(source=route.source, state="dead", code="target-rejected", received_at=NOON)
    a_delivery(event, route, settled_at=NOON)
    count(NOON + timedelta(minutes=30))
    assert _states(NOON) == {"dead": 1}
    later = NOON + timedelta(hours=4)
    count(later)
    request_replay([event], by=User.objects.create(username="anna"), reason="mended")
    count(later + timedelta(minutes=1))
    assert _states(NOON) == {"pending": 1}
    event.deliveries.update(state="succeeded", code="succeeded", settled_at=later, person_request=None)
    Event.objects.filter(pk=event.pk).update(state="succeeded", code="succeeded")
    count(later + timedelta(minutes=2))
    assert _states(NOON) == {"succeeded": 1}
    assert not FailureCount.objects.exists()


@pytest.mark.submission
def test_a_worker_that_dies_during_a_recount_leaves_its_mark_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_route(a_source())
    event = an_event(received_at=NOON, state="dead")
    later = NOON + timedelta(hours=4)
    count(later)
    Event.objects.filter(pk=event.pk).update(state="closed")
    CountMark.objects.create(hour=NOON)
    keep = sync.statistics.hour_recount._store_call_counts

    def dying(hour: Any, *args: Any) -> None:
        if hour == NOON:
            raise SystemExit
        keep(hour, *args)

    with monkeypatch.context() as patched:
        patched.setattr(sync.statistics.hour_recount, "_store_call_counts", dying)
        with pytest.raises(SystemExit):
            count(later + timedelta(minutes=1))
    assert _states(NOON) == {"dead": 1}, "nothing of it is kept"
    count(later + timedelta(minutes=2))
    assert _states(NOON) == {"closed": 1}
    assert not CountMark.objects.exists()


def test_of_two_simultaneous_recounts_the_one_with_old_rows_reads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_route(a_source())
    an_event(received_at=NOON)
    read = sync.statistics.hour_recount.count_events
    rounds = iter([True])

    def overtaken(hour: Any) -> Any:
        found = read(hour)
        if next(rounds, False):
            an_event(1, received_at=NOON)
            assert recount_hour(NOON, NOON), "the other one counts from beginning to end"
        return found

    monkeypatch.setattr(sync.statistics.hour_recount, "count_events", overtaken)
    assert recount_hour(NOON, NOON)
    assert _states(NOON) == {"succeeded": 2}


def test_counted_refusals_stay_counted_although_a_flood_deletes_their_rows() -> None:
    def refused(minute: int, times: int) -> None:
        at = NOON + timedelta(minutes=minute)
        Refusal.objects.create(code="bad-signature", bucket=str(minute), first_at=at, last_at=at, times=times)

    refused(1, 30)
    refused(2, 12)
    recount_hour(NOON, NOON)
    Refusal.objects.filter(bucket="1").delete()
    recount_hour(NOON, NOON)
    assert list(RefusalCount.objects.values_list("code", "number")) == [("bad-signature", 42)]


@pytest.mark.submission
def test_deleted_events_stay_counted() -> None:
    a_route(a_source())
    old = NOON - timedelta(days=2)
    an_event(received_at=old)
    count(NOON)
    PruningRun.objects.create(kind=RetentionCategory.EVENTS, up_to=NOON - timedelta(days=1), began_at=NOON)
    Event.objects.all().delete()
    CountMark.objects.create(hour=start_of_hour(old))
    CountedHour.objects.update(counted_at=None)
    count(NOON + timedelta(minutes=1))
    assert _states(start_of_hour(old)) == {"succeeded": 1}
    assert not CountMark.objects.exists()


def test_a_recount_ends_after_its_time_limit_and_the_next_one_continues() -> None:
    a_route(a_source())
    an_event(received_at=NOON - timedelta(hours=3))
    assert look_and_count(NOON, seconds=0.0) == [], "no time, no hour"
    assert count(NOON) == [NOON - HOUR * ago for ago in range(4)], "the newest first"
    assert _states(NOON - 3 * HOUR) == {"succeeded": 1}


def test_an_hour_that_takes_long_to_count_is_skipped_for_twenty_times_as_long() -> None:
    now = NOON + timedelta(minutes=10)
    at = now - timedelta(seconds=30)
    assert list(choose_stale_hours([HourStatus(NOON, at, seconds=1.4)], {}, now)) == [NOON]
    assert list(choose_stale_hours([HourStatus(NOON, at, seconds=1.6)], {}, now)) == []


def test_marked_hours_come_first_then_open_ones_then_one_of_the_others() -> None:
    now = NOON + timedelta(hours=9)
    hours = [NOON + HOUR * step for step in range(5)]
    known = [
        HourStatus(hour, NOON + timedelta(hours=7, minutes=5 - step), 0.01, open_count=int(step in (1, 3)))
        for step, hour in enumerate(hours)
    ]
    assert list(choose_stale_hours(known, {hours[2]}, now)) == [hours[2], hours[3], hours[1], hours[4]]


def test_counts_that_are_too_old_to_be_shown_are_deleted() -> None:
    a_source()
    long_ago = start_of_hour(timezone.now() - timedelta(days=500))
    an_event(received_at=long_ago)
    recount_hour(long_ago, timezone.now())
    assert EventCount.objects.exists()
    count()
    assert not EventCount.objects.exists()
    assert not CountedHour.objects.filter(begins_at=long_ago).exists()


def count(now: Any = None) -> Any:
    """Recount with more time than needed."""
    return look_and_count(now, seconds=60.0)


def _states(hour: Any) -> dict[str, int]:
    return dict(EventCount.objects.filter(hour=hour).values_list("state", "number"))


@pytest.fixture
def events(database: None) -> None:
    """Create one event in each of six hours, the oldest ten hours ago."""
    a_route(a_source())
    now = start_of_hour(timezone.now())
    for number, ago in enumerate((0, 1, 2, 3, 5, 10)):
        an_event(number, received_at=now - ago * HOUR + timedelta(seconds=1))


def counts_by_age() -> list[int]:
    return list(EventCount.objects.order_by("-hour").values_list("number", flat=True))


@pytest.mark.submission
@pytest.mark.usefixtures("events")
def test_the_command_counts_everything_and_corrects_wrong_counts() -> None:
    out = StringIO()
    call_command("count_again", stdout=out)
    assert counts_by_age() == [1] * 6
    assert "All hours have been counted." in out.getvalue()
    EventCount.objects.update(number=99)
    call_command("count_again", "--resume", stdout=out)
    assert counts_by_age() == [99] * 6, "everything was counted already"
    call_command("count_again", stdout=out)
    assert counts_by_age() == [1] * 6


@pytest.mark.submission
@pytest.mark.usefixtures("events")
def test_a_stopped_run_is_resumed() -> None:
    now = timezone.now()
    stopped = recount_all_hours(now)
    assert [next(stopped), next(stopped)] == [start_of_hour(now), start_of_hour(now) - HOUR]
    assert count_remaining_hours(now) == 9
    EventCount.objects.update(number=77)
    assert len(list(recount_all_hours(now, resumes=True))) == 9
    assert counts_by_age() == [77, 77, 1, 1, 1, 1], "what was counted before is not counted twice"
