"""Events of a bulk replay that fail and will be retried: they have no result yet, and pause the replay all the same.

Holds what no other test does: a retryable failure is no result while its delivery is open.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from sync.execution.executor import run_due_deliveries
from sync.models import Breaker, Delivery, PersonRequest, PersonRequestState, ReplayPace, ReplayPauseReason
from sync.replays import batches
from sync.replays.decisions import resume_replay
from sync.replays.event_selection import select_events
from sync.replays.skip_rules import find_skipped
from tests.support.builders.bulk_replays import (
    fail_customers,
    member_states,
    record_all_results,
    send_all_due,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event, State


def step(hub: Hub, replay: PersonRequest) -> PersonRequest:
    """Run the job's steps until each event was sent and tried, or the replay is paused."""
    for _ in range(100):
        run_jobs("replay")
        hub.wait_until_idle()
        replay.refresh_from_db()
        is_sending = replay.state == PersonRequestState.RUNNING and replay.waiting_count
        if not replay.in_progress_count and not is_sending:
            break
    hub.wait_until_quiet()
    replay.refresh_from_db()
    return replay


def retry_now(hub: Hub) -> None:
    """Run the retries that are ahead, although their time has not come."""
    Breaker.objects.all().delete()
    due = timezone.now() - timedelta(seconds=5)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=due, not_before=None)
    run_due_deliveries(100)
    hub.wait_until_quiet()


def test_a_failure_that_will_be_retried_is_no_result_until_the_delivery_ends(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 2)
    hub.shop.faults.add("error")
    replay = step(hub, start_bulk_replay(staff_user(), pauses_automatically=False))
    assert set(member_states(replay).values()) == {"retrying: target-unavailable"}
    assert (replay.state, replay.retrying, replay.failed) == (PersonRequestState.RUNNING, 2, 0)
    assert replay.in_progress_count == 0, "what waits for a retry does not slow the pace"
    hub.shop.faults.clear()
    retry_now(hub)
    replay = work_replay(replay)
    assert set(member_states(replay).values()) == {"succeeded"}
    assert (replay.succeeded, replay.failed, replay.retrying, replay.first_failures) == (2, 0, 0, 2)


@pytest.mark.submission
def test_a_retry_that_fails_for_good_is_the_result(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 1)
    fault = hub.shop.faults.add("error")
    replay = step(hub, start_bulk_replay(staff_user(), pauses_automatically=False))
    hub.shop.faults.clear(fault.id)
    hub.shop.faults.add("refuse")
    retry_now(hub)
    replay = work_replay(replay)
    assert member_states(replay) == {"PERSON0": "failed: target-rejected"}
    assert (replay.failed, replay.retrying, replay.first_failures) == (1, 0, 1)


def try_next(replay: PersonRequest) -> PersonRequest:
    """Send the next five events, run them in this thread, and record their results."""
    PersonRequest.objects.update(due_at=timezone.now() - timedelta(seconds=2))
    assert send_all_due() == run_due_deliveries(100) == 5
    record_all_results()
    replay.refresh_from_db()
    return replay


@pytest.mark.submission
def test_failures_that_will_be_retried_pause_a_replay_and_later_ones_do_so_again(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_customers(hub, 12)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.005)  # five at once
    monkeypatch.setattr(batches, "defer_to_workers", lambda _: None)
    hub.shop.faults.add("error")
    by = staff_user()
    replay = try_next(start_bulk_replay(by))
    assert (replay.state, replay.pause_reason) == (PersonRequestState.PAUSED, ReplayPauseReason.FAILING)
    assert (replay.failed, replay.retrying) == (0, 5)
    hub.shop.faults.clear()
    retry_now(hub)
    record_all_results()
    replay.refresh_from_db()
    assert (replay.state, replay.succeeded, replay.retrying) == (PersonRequestState.PAUSED, 5, 0)
    # The successes of the retries do not hide the failures that follow.
    hub.shop.faults.add("refuse")
    assert resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    replay = try_next(replay)
    assert (replay.state, replay.pause_reason) == (PersonRequestState.PAUSED, ReplayPauseReason.FAILING)
    assert (replay.failed, replay.first_failures) == (5, 10)


@pytest.mark.submission
def test_a_first_event_that_will_be_retried_pauses_the_replay(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    hub.shop.faults.add("error")
    replay = work_replay(start_bulk_replay(staff_user(), pace=ReplayPace.FIRST), PersonRequestState.PAUSED)
    assert (replay.pause_reason, replay.events, replay.retrying) == (ReplayPauseReason.FIRST, 1, 1)


@pytest.mark.submission
def test_an_event_that_waits_for_a_retry_may_be_sent_by_another_replay(hub: Hub, hurry: None) -> None:
    [event] = fail_customers(hub, 1)
    hub.shop.faults.add("error")
    first = step(hub, start_bulk_replay(staff_user(), pauses_automatically=False))
    hub.shop.faults.clear()
    by = staff_user()
    second = start_bulk_replay(by, select_events(by, [event.pk]))
    assert not find_skipped([Event.objects.get(pk=event.pk)], second)
    assert send_all_due() == 1
    hub.wait_until_idle()
    assert [work_replay(replay).succeeded for replay in (second, first)] == [1, 1]
